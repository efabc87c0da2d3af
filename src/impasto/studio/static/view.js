// One canvas on which pictures are shown: wheel zooms, dragging moves, a mask lies over it.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.picture = null; // what is shown, and what it is compared with
    this.other = null;
    this.finest = 1; // how many pixels across the picture has when it is finished
    this.divide = null; // from 0 to 1: left of it is the other
    this.overlay = null; // a canvas of the picture's shape
    this.cursor = null; // where the brush is, in the picture, with its radius
    this.kept = null;
    this.base = null; // how wide the picture is taken to be, where that is known
    this.scale = 1; this.left = 0; this.top = 0; this.fitted = true;
    this.size = { width: 1, height: 1 };
    this.asked = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
  }

  // Show a picture; its place stays if it has the shape of the last.
  show(picture, other = null) {
    const before = this.size.width / this.size.height;
    this.picture = picture; this.other = other;
    const first = picture ?? { width: 1, height: 1 };
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

  // Where a pointer is in the picture, both from 0 to 1.
  place(event) {
    const [x, y] = this.device(event);
    return [(x - this.left) / (this.size.width * this.scale), (y - this.top) / (this.size.height * this.scale)];
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.paint(); });
  }

  // The picture at the size it is shown at: scaled once, and not for every dab of a brush.
  scaled(box) {
    const { width, height } = this.canvas, known = this.kept;
    const now = [this.picture, width, height, this.finest, ...box];
    if (known && known.of.every((each, at) => each === now[at])) return known.canvas;
    const canvas = known?.canvas ?? document.createElement("canvas");
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d");
    // Single pixels are for whoever looks closely, not for a picture that is still coarse.
    context.imageSmoothingEnabled = this.scale * this.size.width < 3 * Math.max(this.picture.width, this.finest);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, ...box);
    this.kept = { canvas, of: now };
    return canvas;
  }

  paint() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.picture) return;
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
