// A mask that the user paints; opaque pixels are selected. Undo stores the rectangle that a stroke changed.

const STEPS = 60;

/** Colors of the overlay, by name. */
export const TINTS = { Red: "#e11d48", Green: "#16a34a", Blue: "#2563eb", Yellow: "#facc15" };

export const channels = (/** @type {string} */ tint) => [1, 3, 5].map((at) => parseInt(tint.slice(at, at + 2), 16));

export const SIDE = 3000; // longest side of a mask in px; the server stores masks up to this size unchanged

function canvasOf(width, height) {
  const made = document.createElement("canvas");
  made.width = width; made.height = height;
  return made;
}

export class Mask {
  constructor(width, height) {
    this.canvas = canvasOf(width, height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.before = canvasOf(width, height).getContext("2d", { willReadFrequently: true });
    this.done = []; this.undone = [];
    this.box = null;
    this.tint = TINTS.Red;
  }

  /**
   * Draws a line with the brush, in pixels of the mask.
   * @param {Point} from
   * @param {Point} to
   * @param {number} radius
   * @param {boolean} erase
   */
  stroke(from, to, radius, erase) {
    const { context } = this;
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = this.tint; context.lineCap = "round"; context.lineWidth = 2 * radius;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    context.globalCompositeOperation = "source-over";
    this.markChanged(Math.min(from[0], to[0]) - radius, Math.min(from[1], to[1]) - radius,
      Math.max(from[0], to[0]) + radius, Math.max(from[1], to[1]) + radius);
  }

  markChanged(left, top, right, bottom) {
    const box = this.box ?? [left, top, right, bottom];
    this.box = [Math.min(box[0], left), Math.min(box[1], top), Math.max(box[2], right), Math.max(box[3], bottom)];
  }

  markAll() { this.markChanged(0, 0, this.canvas.width, this.canvas.height); }

  // Ends a stroke, so that it can be undone.
  endStroke() {
    if (!this.box) return;
    const left = Math.max(0, Math.floor(this.box[0]) - 1), top = Math.max(0, Math.floor(this.box[1]) - 1);
    const width = Math.min(this.canvas.width, Math.ceil(this.box[2]) + 1) - left;
    const height = Math.min(this.canvas.height, Math.ceil(this.box[3]) + 1) - top;
    this.box = null;
    if (width <= 0 || height <= 0) return;
    const now = this.context.getImageData(left, top, width, height);
    this.done.push({ left, top, was: this.before.getImageData(left, top, width, height), now });
    if (this.done.length > STEPS) this.done.shift();
    this.undone = [];
    this.before.putImageData(now, left, top);
  }

  // Changes the color of the overlay; what is selected stays.
  recolor(tint) {
    this.tint = tint;
    const rgb = channels(tint);
    for (const { context } of [this, { context: this.before }]) {
      context.globalCompositeOperation = "source-in";
      context.fillStyle = tint;
      context.fillRect(0, 0, this.canvas.width, this.canvas.height);
      context.globalCompositeOperation = "source-over";
    }
    for (const { was, now } of [...this.done, ...this.undone]) {
      for (const { data } of [was, now]) {
        for (let at = 0; at < data.length; at += 4) [data[at], data[at + 1], data[at + 2]] = rgb;
      }
    }
  }

  undo() { this.swap(this.done, this.undone, "was"); }
  redo() { this.swap(this.undone, this.done, "now"); }

  swap(from, to, which) {
    const step = from.pop();
    if (!step) return;
    for (const context of [this.context, this.before]) context.putImageData(step[which], step.left, step.top);
    to.push(step);
  }

  fill() {
    this.context.fillStyle = this.tint;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.markAll(); this.endStroke();
  }

  invert() {
    const { context, canvas } = this;
    context.globalCompositeOperation = "source-out";
    context.fillStyle = this.tint;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-over";
    this.markAll(); this.endStroke();
  }

  // Adds a gray image, in which white pixels are selected.
  add(image) {
    const { width, height } = this.canvas, made = canvasOf(width, height), context = made.getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height), { data } = pixels, rgb = channels(this.tint);
    for (let at = 0; at < data.length; at += 4) {
      data[at + 3] = (data[at] * data[at + 3]) / 255;
      [data[at], data[at + 1], data[at + 2]] = rgb;
    }
    context.putImageData(pixels, 0, 0);
    this.context.drawImage(made, 0, 0);
    this.markAll(); this.endStroke();
  }

  isEmpty() {
    const small = canvasOf(64, 64).getContext("2d");
    small.drawImage(this.canvas, 0, 0, 64, 64);
    return !small.getImageData(0, 0, 64, 64).data.some((value, at) => at % 4 === 3 && value > 3);
  }

  // Returns a gray PNG, blurred by `feather` pixels. The border of the mask is replicated.
  async toBlob(feather) {
    const { width, height } = this.canvas, pad = Math.ceil(3 * feather);
    const wide = canvasOf(width + 2 * pad, height + 2 * pad), context = wide.getContext("2d");
    const columns = [[0, 1, 0, pad], [0, width, pad, width], [width - 1, 1, pad + width, pad]];
    const rows = [[0, 1, 0, pad], [0, height, pad, height], [height - 1, 1, pad + height, pad]];
    for (const [x, w, left, across] of columns) {
      for (const [y, h, top, down] of rows) {
        if (across && down) context.drawImage(this.canvas, x, y, w, h, left, top, across, down);
      }
    }
    const out = canvasOf(width, height), gray = out.getContext("2d");
    if (feather > 0) gray.filter = `blur(${feather}px)`;
    gray.drawImage(wide, -pad, -pad);
    gray.filter = "none";
    gray.globalCompositeOperation = "source-in";
    gray.fillStyle = "#fff";
    gray.fillRect(0, 0, width, height);
    gray.globalCompositeOperation = "destination-over";
    gray.fillStyle = "#000";
    gray.fillRect(0, 0, width, height);
    return new Promise((resolve) => out.toBlob(resolve, "image/png"));
  }
}
