/* Compiled kernels of the native engine; src/impasto/compute/native/kernels.py is their only caller.
 *
 * All arrays are float32 and channels-last. There is no global state and no thread in here: each function does the work
 * items [begin, end) of its task with scratch memory from the caller, so that any number of threads may share a task. What a
 * work item computes never depends on how items are shared out, and neither do the results.
 *
 * kernels.inc holds all functions. It is included once for each instruction set, and the suffix of a function's name says
 * which. It is portable C with the vector extensions of GCC and Clang.
 */
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define INLINE static inline __attribute__((always_inline))
/* Before a loop over registers, which must be unrolled as a whole. Clang passes over GCC's pragma without a word. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

/* One 3 x 3 convolution with padding 1, or the gradient of one by its input, which is a convolution with the flipped kernel. */
typedef struct {
    const float *input;   /* (height, width, in), input_row floats from one row to the next */
    const float *gate;    /* NULL, or of the same size: input counts as zero where this is not positive */
    const float *weights; /* the kernel in the form that the function takes, by a prepare function */
    const float *bias;    /* (out,) of a layer, whose result is max(convolution + bias, 0); NULL of a gradient */
    float *output;        /* (height, width, out), contiguous */
    int64_t input_row, gate_row;
    int64_t height, width, in, out;
    int64_t replicate; /* the layer repeats the values at its edges; else it continues with zeros */
    int64_t tiles;     /* tiles in a block of the Winograd convolution, or rows in a band of a narrow one */
    int64_t first;     /* stage by stage: the first of these tiles */
} Convolution;

/* All the same, the largest product of each query with the directions of an index. */
typedef struct {
    const float *query;      /* (count, depth), query_row floats from one row to the next */
    const float *directions; /* prepared: [panels][depth][panel width] */
    const float *penalty;    /* [panels][panel width], infinite where a panel is filled up */
    int32_t *index;          /* (count,) */
    float *value;            /* (count,) */
    int64_t query_row, count, depth, panels;
} Search;

/* What Lavin and Gray 2016, section 4, call G: the transform of kernels, for both sizes of tiles. */
static const float KERNEL_TRANSFORM_4[6][3] = {
    {1 / 4.f, 0, 0},
    {-1 / 6.f, -1 / 6.f, -1 / 6.f},
    {-1 / 6.f, 1 / 6.f, -1 / 6.f},
    {1 / 24.f, 1 / 12.f, 1 / 6.f},
    {1 / 24.f, -1 / 12.f, 1 / 6.f},
    {0, 0, 1},
};
static const float KERNEL_TRANSFORM_6[8][3] = {
    {1, 0, 0},
    {-2 / 9.f, -2 / 9.f, -2 / 9.f},
    {-2 / 9.f, 2 / 9.f, -2 / 9.f},
    {1 / 90.f, 1 / 45.f, 2 / 45.f},
    {1 / 90.f, -1 / 45.f, 2 / 45.f},
    {1 / 45.f, 1 / 90.f, 1 / 180.f},
    {1 / 45.f, -1 / 90.f, 1 / 180.f},
    {0, 0, 1},
};

/* The instruction sets. LANES floats make a vector; ROWS x 2 vectors of sums stay in registers. */
#if defined(__aarch64__) || defined(_M_ARM64)
#define SET neon
#define LANES 4
#define ROWS 12
#elif defined(__x86_64__) || defined(_M_X64)
#define SET sse2
#define LANES 4
#define ROWS 6
#else
#define SET generic
#define LANES 4
#define ROWS 6
#endif
#include "kernels.inc"

#if defined(__x86_64__) || defined(_M_X64)
#define SET avx2
#define LANES 8
#define ROWS 6
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "kernels.inc"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include "kernels.inc"
#pragma GCC pop_options
#endif

#define SET avx512
#define LANES 16
#define ROWS 12
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#include "kernels.inc"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#include "kernels.inc"
#pragma GCC pop_options
#endif
#endif

/* Returns the names of the instruction sets that this processor can run, best last, with spaces between. */
EXPORT const char *instruction_sets(void) {
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return "sse2";
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq"))
        return "sse2 avx2";
    return "sse2 avx2 avx512";
#elif defined(__aarch64__) || defined(_M_ARM64)
    return "neon";
#else
    return "generic";
#endif
}

#ifndef IMPASTO_WITHOUT_PYTHON
/* An empty extension module: it gives the file its place and name. ctypes calls the functions above. */
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", "Compiled kernels, called by ctypes.", -1,
                                        NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&definition); }
#endif
