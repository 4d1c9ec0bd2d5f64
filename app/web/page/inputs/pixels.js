// A picture at the network's own resolution: what is drawn or loaded here is, value for value, what the network sees.

export class Pixels {
  constructor(width, height) {
    this.canvas = new OffscreenCanvas(width, height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
  }

  get width() {
    return this.canvas.width;
  }

  get height() {
    return this.canvas.height;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.width, this.height);
  }

  /** Draws from one point to another, in pixels, with a soft round pen of this radius. */
  stroke(from, to, radius, colour) {
    const { data: before } = this.context.getImageData(0, 0, this.width, this.height);
    const image = new ImageData(before, this.width, this.height);
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const length = dx * dx + dy * dy;
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        const [px, py] = [x + 0.5 - from[0], y + 0.5 - from[1]];
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const far = Math.hypot(px - along * dx, py - along * dy);
        const ink = Math.min(1, Math.max(0, radius + 0.5 - far));
        if (!ink) continue;
        const at = 4 * (y * this.width + x);
        for (let c = 0; c < 3; c++) {
          const inked = ink * colour + (1 - ink) * before[at + c];
          image.data[at + c] = colour ? Math.max(before[at + c], inked) : Math.min(before[at + c], inked);
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  /** Fills the frame with a picture, cut to its proportions from the middle. */
  load(bitmap) {
    const scale = Math.max(this.width / bitmap.width, this.height / bitmap.height);
    const [w, h] = [this.width / scale, this.height / scale];
    const exact = scale === 1;
    this.clear(); // transparent parts become black
    this.context.imageSmoothingEnabled = !exact;
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, this.width, this.height);
  }

  /** The picture as a PNG, which loses nothing. */
  png() {
    return this.canvas.convertToBlob({ type: "image/png" });
  }
}
