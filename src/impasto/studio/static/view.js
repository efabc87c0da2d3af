// The canvas with an image, a second image to compare, a mask, and the brush. The wheel zooms.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
    this.other = null; // the image to compare with
    this.finalWidth = 1; // width of the finished image in pixels
    this.divide = null; // position from 0 to 1; the other image is left of it
    this.overlay = null; // a canvas with the mask
    this.cursor = null; // position and radius of the brush, as fractions of the image
    this.cache = null; // the scaled image
    this.base = null; // width of the image in units of the view; null: derived from the image
    this.scale = 1; this.left = 0; this.top = 0; this.fitted = true;
    this.size = { width: 1, height: 1 };
    this.requested = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
  }

  // Shows an image. The position stays if the aspect ratio is that of the last image.
  show(image, other = null) {
    const before = this.size.width / this.size.height;
    this.image = image; this.other = other;
    const first = image ?? { width: 1, height: 1 };
    const width = this.base ?? Math.max(first.width, 1000);
    const size = { width, height: (width * first.height) / first.width };
    const same = Math.abs(size.width / size.height - before) < 0.02 * before;
    this.size = size;
    if (!same || this.fitted) this.fit(); else this.draw();
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.fitted) this.fit(); else this.draw();
  }

  fit() {
    const { width, height } = this.canvas;
    this.scale = Math.min(width / this.size.width, height / this.size.height) * 0.98;
    this.left = (width - this.size.width * this.scale) / 2;
    this.top = (height - this.size.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(40, Math.max(0.02, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale; this.fitted = false;
    this.draw();
  }

  move(x, y) {
    this.left += x; this.top += y; this.fitted = false;
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.device(event);
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
  }

  device(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  // Returns the position of a pointer in the image, both from 0 to 1.
  place(event) {
    const [x, y] = this.device(event);
    return [(x - this.left) / (this.size.width * this.scale), (y - this.top) / (this.size.height * this.scale)];
  }

  draw() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => { this.requested = false; this.paint(); });
  }

  // Returns the image at the displayed size, from a cache, so that brush strokes do not scale it again.
  scaled(box) {
    const { width, height } = this.canvas, known = this.cache;
    const now = [this.image, width, height, this.finalWidth, ...box];
    if (known && known.of.every((each, at) => each === now[at])) return known.canvas;
    const canvas = known?.canvas ?? document.createElement("canvas");
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d");
    // Pixels become visible at high zoom, but not in the coarse images of a run.
    context.imageSmoothingEnabled = this.scale * this.size.width < 3 * Math.max(this.image.width, this.finalWidth);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, ...box);
    this.cache = { canvas, of: now };
    return canvas;
  }

  paint() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.image) return;
    const box = [this.left, this.top, this.size.width * this.scale, this.size.height * this.scale];
    context.drawImage(this.scaled(box), 0, 0);
    if (this.other && this.divide !== null) {
      const middle = box[0] + box[2] * this.divide;
      context.save();
      context.beginPath();
      context.rect(0, 0, middle, canvas.height);
      context.clip();
      context.drawImage(this.other, ...box);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(middle - 1, box[1], 2, box[3]);
    }
    if (this.overlay) {
      context.imageSmoothingQuality = "low";
      context.globalAlpha = 0.55;
      context.drawImage(this.overlay, ...box);
      context.globalAlpha = 1;
    }
    if (this.cursor) {
      const { x, y, radius } = this.cursor;
      context.beginPath();
      context.arc(box[0] + x * box[2], box[1] + y * box[3], radius * box[2], 0, 7);
      context.strokeStyle = "#fff"; context.lineWidth = 2; context.stroke();
      context.strokeStyle = "#000"; context.lineWidth = 1; context.stroke();
    }
    this.frames = (this.frames ?? 0) + 1;
  }
}
