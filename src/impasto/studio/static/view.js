// The canvas with an image, a second image to compare, a mask, and the brush. The wheel zooms.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
    this.other = null; // the image to compare with
    this.finalWidth = 1; // width of the finished image in pixels
    this.divide = null; // position from 0 to 1; the other image is left of it
    this.side = false; // whether the other image is beside the first one, instead of under the divider
    this.overlay = null; // a canvas with the mask
    this.areas = []; // canvases with protected areas and those of styles
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

  get beside() { return this.side && Boolean(this.other); }

  fit() {
    const { width, height } = this.canvas;
    this.scale = Math.min(width / (this.beside ? 2 : 1) / this.size.width, height / this.size.height) * 0.98;
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
    let x = (event.clientX - box.left) * ratio;
    if (this.beside) x += x < this.canvas.width / 2 ? this.canvas.width / 4 : -this.canvas.width / 4;
    return [x, (event.clientY - box.top) * ratio];
  }

  // Zooms and moves by two fingers: from two positions to two others.
  pinch(from, to) {
    const [a, b] = from.map((each) => this.device(each)), [c, d] = to.map((each) => this.device(each));
    const middle = (one, other) => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
    const before = Math.hypot(a[0] - b[0], a[1] - b[1]), after = Math.hypot(c[0] - d[0], c[1] - d[1]);
    const [x, y] = middle(a, b), [nowX, nowY] = middle(c, d);
    this.move(nowX - x, nowY - y);
    if (before > 0) this.zoom(after / before, nowX, nowY);
  }

  // Returns whether a pointer is near the divider.
  nearDivider(event) {
    if (this.divide === null || this.beside || !this.other) return false;
    const ratio = this.canvas.width / this.canvas.getBoundingClientRect().width;
    return Math.abs(this.device(event)[0] - this.left - this.size.width * this.scale * this.divide) < 28 * ratio;
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
    // Pixels become visible at high zoom only: small results and the coarse images of a run are smooth.
    context.imageSmoothingEnabled = this.scale * this.size.width < 10 * Math.max(this.image.width, this.finalWidth);
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
    if (this.beside) { this.paintBeside(box); return; }
    context.drawImage(this.scaled(box), 0, 0);
    if (this.other && this.divide !== null) {
      const middle = box[0] + box[2] * this.divide;
      context.save();
      context.beginPath();
      context.rect(0, 0, middle, canvas.height);
      context.clip();
      context.drawImage(this.other, ...box);
      context.restore();
      this.paintDivider(middle, box);
    }
    context.globalAlpha = 0.4;
    for (const each of this.areas) context.drawImage(each, ...box);
    context.globalAlpha = 1;
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

  paintDivider(middle, box) {
    const { context } = this, ratio = window.devicePixelRatio || 1, y = Math.min(this.canvas.height, box[1] + box[3]) / 2 + Math.max(0, box[1]) / 2;
    context.fillStyle = "#fff"; context.strokeStyle = "#0008"; context.lineWidth = ratio;
    context.fillRect(middle - ratio, box[1], 2 * ratio, box[3]);
    context.beginPath();
    context.arc(middle, y, 15 * ratio, 0, 7);
    context.fill(); context.stroke();
    context.strokeStyle = "#333"; context.lineWidth = 2 * ratio;
    for (const way of [-1, 1]) {
      context.beginPath();
      context.moveTo(middle + way * 4 * ratio, y - 5 * ratio);
      context.lineTo(middle + way * 9 * ratio, y);
      context.lineTo(middle + way * 4 * ratio, y + 5 * ratio);
      context.stroke();
    }
  }

  // The other image on the left, the first one on the right, at the same position.
  paintBeside(box) {
    const { context } = this, { width, height } = this.canvas;
    context.imageSmoothingQuality = "high";
    for (const [image, left, shift] of /** @type {[any, number, number][]} */ ([[this.other, 0, -width / 4], [this.image, width / 2, width / 4]])) {
      context.save();
      context.beginPath();
      context.rect(left + 2, 0, width / 2 - 4, height);
      context.clip();
      context.drawImage(image, box[0] + shift, box[1], box[2], box[3]);
      context.restore();
    }
    this.frames = (this.frames ?? 0) + 1;
  }
}
