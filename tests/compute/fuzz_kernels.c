/* Calls every kernel with random sizes on arrays that end where their values end, to be compiled with
 * -fsanitize=address,undefined or run by valgrind. Compares some results of convolutions with the definition, so that it also
 * tests an instruction set that only an emulator has. Arguments: a seed, and how many rounds. Prints how many calls it made. */
#define IMPASTO_WITHOUT_PYTHON
#include "kernels.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef void Work(const Convolution *, float *, int64_t, int64_t);
typedef int64_t Size(const Convolution *);
typedef void Prepare(const float *, int64_t, int64_t, float *, int64_t, int64_t);
typedef struct {
    const char *name;
    int64_t (*panel_width)(void), (*search_rows)(void);
    Prepare *prepare_4, *prepare_6, *prepare_narrow, *prepare_spread, *prepare_index;
    Size *tiles_4, *tiles_6, *block_scratch_4, *block_scratch_6, *narrow_scratch, *spread_scratch;
    Work *blocks_4, *blocks_6, *windows_4, *windows_6, *products_4, *products_6, *tiles_of_4, *tiles_of_6, *narrow, *spread;
    void (*max_pool)(const float *, int64_t, int64_t, int64_t, float *, int64_t, int64_t);
    void (*max_pool_gradient)(const float *, int64_t, const float *, int64_t, const float *, int64_t, int64_t, int64_t, float *,
                              int64_t, int64_t);
    void (*block_mean)(const float *, int64_t, int64_t, int64_t, int64_t, float *, int64_t, int64_t);
    void (*add_block_mean)(const float *, int64_t, int64_t, int64_t, int64_t, float *, int64_t, int64_t, int64_t);
    void (*nearest)(const Search *, int64_t, int64_t);
} Set;
#define TABLE(set)                                                                                                             \
    {#set, panel_width_##set, search_rows_##set, prepare_4_##set, prepare_6_##set, prepare_narrow_##set, prepare_spread_##set, \
     prepare_index_##set, tiles_4_##set, tiles_6_##set, block_scratch_4_##set, block_scratch_6_##set, narrow_scratch_##set,    \
     spread_scratch_##set, convolve_blocks_4_##set, convolve_blocks_6_##set, convolve_windows_4_##set,                         \
     convolve_windows_6_##set, convolve_products_4_##set, convolve_products_6_##set, convolve_tiles_4_##set,                   \
     convolve_tiles_6_##set, convolve_narrow_##set, gradient_narrow_##set, max_pool_##set, max_pool_gradient_##set,            \
     block_mean_##set, add_block_mean_gradient_##set, nearest_##set}
static const Set SETS[] = {
#if defined(__x86_64__)
    TABLE(sse2), TABLE(avx2), TABLE(avx512),
#elif defined(__aarch64__)
    TABLE(neon),
#else
    TABLE(generic),
#endif
};

static long calls;

static int64_t below(int64_t end) { return rand() % end; }
static int64_t most(int64_t end) { return 1 + below(end); }

/* ``count`` floats with nothing behind them, some of them not finite in one array of eight. */
static float *values(int64_t count) {
    float *made = malloc(sizeof(float) * count);
    int wild = !below(8);
    for (int64_t i = 0; i < count; i++) made[i] = rand() / (float)RAND_MAX - 0.5f;
    if (wild) made[below(count)] = NAN, made[below(count)] = INFINITY;
    return made;
}
static float *room(int64_t count) { return malloc(sizeof(float) * MAX(1, count)); }

/* Do all items in a few pieces, each with scratch memory of its own unless it is shared. */
static void work(Work *function, const Convolution *c, int64_t items, int64_t size, float *shared) {
    for (int64_t begin = 0; begin < items;) {
        int64_t end = begin + most(items - begin);
        float *scratch = shared ? shared : room(size);
        function(c, scratch, begin, end);
        calls++;
        if (!shared) free(scratch);
        begin = end;
    }
}

static float *prepared(Prepare *function, const float *from, int64_t in, int64_t out, int64_t count, int64_t panels) {
    float *weights = room(count);
    int64_t half = below(panels + 1);
    function(from, in, out, weights, 0, half);
    function(from, in, out, weights, half, panels);
    calls += 2;
    return weights;
}

/* One value of a convolution by the definition, in double precision; kernel is (9, in, out). */
static double defined(const Convolution *c, const float *kernel, int64_t y, int64_t x, int64_t channel) {
    double sum = c->bias ? c->bias[channel] : 0;
    for (int64_t i = -1; i < 2; i++)
        for (int64_t j = -1; j < 2; j++)
            for (int64_t tap = 0; tap < 9; tap++) {
                /* The layer: tap (i, j) sees a neighbor. The gradient: it wrote to a neighbor, or to itself at an edge. */
                int64_t from_y = y + i, from_x = x + j, to_y = from_y + 1 - tap / 3, to_x = from_x + 1 - tap % 3;
                int inside = from_y >= 0 && from_x >= 0 && from_y < c->height && from_x < c->width;
                if (c->bias && tap != 3 * (i + 1) + j + 1) continue;
                if (!inside && !(c->bias && c->replicate)) continue;
                if (!c->bias && c->replicate) {
                    to_y = MAX(0, MIN(c->height - 1, to_y));
                    to_x = MAX(0, MIN(c->width - 1, to_x));
                }
                if (!c->bias && (to_y != y || to_x != x)) continue;
                from_y = MAX(0, MIN(c->height - 1, from_y));
                from_x = MAX(0, MIN(c->width - 1, from_x));
                for (int64_t k = 0; k < c->in; k++) {
                    float value = c->input[from_y * c->input_row + from_x * c->in + k];
                    if (c->gate && !(c->gate[from_y * c->gate_row + from_x * c->in + k] > 0)) value = 0;
                    sum += (double)value * kernel[(tap * c->in + k) * c->out + channel];
                }
            }
    return c->bias ? fmax(sum, 0) : sum;
}

static void check(const Set *set, const Convolution *c, const float *kernel) {
    for (int i = 0; i < 5; i++) {
        int64_t y = below(c->height), x = below(c->width), k = below(c->out);
        double expected = defined(c, kernel, y, x, k), got = c->output[(y * c->width + x) * c->out + k];
        if (isfinite(got) && isfinite(expected) && fabs(got - expected) > 2e-3) {
            fprintf(stderr, "%s: %g instead of %g\n", set->name, got, expected);
            abort();
        }
    }
}

static void convolution(const Set *set, int64_t height, int64_t width) {
    int64_t in = most(40), out = most(40), gap = below(2) * below(9), count;
    int gradient = below(2), kind = below(5), narrow = kind == 4, tile = kind % 2 ? 4 : 6, panel = set->panel_width();
    if (narrow && gradient) out = most(4);
    if (narrow && !gradient) in = most(4);
    int64_t row = width * in + gap, length = (height - 1) * row + width * in, panels = (out + panel - 1) / panel;
    Convolution c = {.input = values(length), .gate = gradient ? values(length) : NULL, .bias = gradient ? NULL : values(out),
                     .output = room(height * width * out), .input_row = row, .gate_row = row, .height = height, .width = width,
                     .in = in, .out = out, .replicate = below(2)};
    float *kernel = values(9 * in * out), *weights, *shared;
    if (narrow && gradient) {
        int64_t spread = (9 * out + panel - 1) / panel;
        c.weights = weights = prepared(set->prepare_spread, kernel, in, out, spread * in * panel, spread);
        c.tiles = most(20);
        work(set->spread, &c, (height + c.tiles - 1) / c.tiles, set->spread_scratch(&c), NULL);
    } else if (narrow) {
        c.weights = weights = prepared(set->prepare_narrow, kernel, in, out, panels * 9 * in * panel, panels);
        work(set->narrow, &c, height, set->narrow_scratch(&c), NULL);
    } else {
        int64_t points = (tile + 2) * (tile + 2), size = points * panels * in * panel;
        c.weights = weights = prepared(tile == 4 ? set->prepare_4 : set->prepare_6, kernel, in, out, size, panels);
        count = (tile == 4 ? set->tiles_4 : set->tiles_6)(&c);
        c.tiles = most(count);
        size = (tile == 4 ? set->block_scratch_4 : set->block_scratch_6)(&c);
        if (kind < 2) work(tile == 4 ? set->blocks_4 : set->blocks_6, &c, (count + c.tiles - 1) / c.tiles, size, NULL);
        else {
            int64_t step = c.tiles;
            shared = room(size);
            for (c.first = 0; c.first < count; c.first += step) {
                c.tiles = MIN(step, count - c.first);
                work(tile == 4 ? set->windows_4 : set->windows_6, &c, c.tiles, 0, shared);
                work(tile == 4 ? set->products_4 : set->products_6, &c, points * panels, 0, shared);
                work(tile == 4 ? set->tiles_of_4 : set->tiles_of_6, &c, c.tiles, 0, shared);
            }
            free(shared);
        }
    }
    check(set, &c, kernel);
    free(kernel), free(weights), free((void *)c.input), free((void *)c.gate), free((void *)c.bias), free(c.output);
}

static void pooling(const Set *set, int64_t height, int64_t width) {
    int64_t channels = most(40), row = width * channels + below(9), length = (height - 1) * row + width * channels;
    int64_t down = height / 2, across = width / 2, size = most(9), half = below(down + 1);
    float *features = values(length), *pooled = room(down * across * channels), *gradient = room(height * width * channels);
    set->max_pool(features, row, width, channels, pooled, 0, half);
    set->max_pool(features, row, width, channels, pooled, half, down);
    set->max_pool_gradient(pooled, across * channels, features, row, pooled, height, width, channels, gradient, 0, half);
    set->max_pool_gradient(pooled, across * channels, features, row, pooled, height, width, channels, gradient, half,
                           (height + 1) / 2);
    float *means = room((height / size) * (width / size) * channels);
    set->block_mean(features, row, width, channels, size, means, 0, height / size);
    set->add_block_mean(means, width / size * channels, width, channels, size, features, row, 0, height / size);
    calls += 6;
    free(features), free(pooled), free(gradient), free(means);
}

static void search(const Set *set) {
    int64_t count = most(250), depth = most(70), directions = most(100), panel = set->panel_width(), gap = below(5);
    int64_t panels = (directions + panel - 1) / panel, items = (count + set->search_rows() - 1) / set->search_rows();
    float *from = values(directions * depth), *penalty = values(panels * panel);
    float *index = prepared(set->prepare_index, from, directions, depth, panels * depth * panel, panels);
    for (int64_t i = directions; i < panels * panel; i++) penalty[i] = INFINITY;
    Search s = {values((count - 1) * (depth + gap) + depth), index, penalty, malloc(sizeof(int32_t) * count), room(count),
                depth + gap, count, depth, panels};
    set->nearest(&s, 0, items / 2);
    set->nearest(&s, items / 2, items);
    calls += 2;
    for (int64_t i = 0; i < count; i++)
        if (s.index[i] < 0 || s.index[i] >= directions) abort();
    free(from), free(penalty), free(index), free((void *)s.query), free(s.index), free(s.value);
}

int main(int count, char **arguments) {
    const char *known = instruction_sets();
    srand(count > 1 ? atoi(arguments[1]) : 0);
    for (int round = 0; round < (count > 2 ? atoi(arguments[2]) : 100); round++)
        for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++) {
            if (!strstr(known, SETS[i].name)) continue;
            int64_t longest = round % 4 ? 12 : 30, height = most(longest), width = most(longest);
            convolution(SETS + i, height, width);
            pooling(SETS + i, height, width);
            if (round % 4 == 0) search(SETS + i);
        }
    printf("%ld calls of %s\n", calls, known);
    return 0;
}
