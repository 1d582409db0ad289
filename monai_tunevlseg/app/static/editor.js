/* Editing of a label map with brush and eraser, marks (clicks and a box), and undo. */
import { drawPicture, drawPixels } from "./overlay.js";

const MAX_HISTORY_BYTES = 200e6;

/** The label map of one picture: 0 is background, `values` of classes have colors. */
export class Editor {
  /**
   * @param stack element with three canvases: picture, overlay and marks
   * @param colorOfValue returns the color of a class by its value
   * @param onEdit called after each edit of the label map
   * @param onMark called after each new click or box
   */
  constructor(stack, colorOfValue, onEdit, onMark) {
    [this.picture, this.overlay, this.markLayer] = stack.querySelectorAll("canvas");
    this.colorOfValue = colorOfValue;
    this.onEdit = onEdit;
    this.onMark = onMark;
    this.tool = "brush";
    this.value = 1;
    this.brush = 15;
    this.labels = null;
    stack.addEventListener("pointerdown", (event) => this.#press(event, stack));
    stack.addEventListener("pointermove", (event) => this.#move(event));
    stack.addEventListener("pointerup", (event) => this.#release(event));
    stack.addEventListener("pointercancel", (event) => this.#release(event));
  }

  /** Show a picture with its label map, Uint8Array. */
  open(bitmap, labels) {
    [this.width, this.height] = [bitmap.width, bitmap.height];
    drawPicture(this.picture, bitmap);
    [this.markLayer.width, this.markLayer.height] = [this.width, this.height];
    this.labels = labels;
    this.#start();
    this.past = [];
    this.future = [];
    this.draw();
    this.clearMarks();
  }

  /** Remove the clicks and the box. */
  clearMarks() {
    this.marks = { foreground: [], background: [], box: null };
    this.#drawMarks();
  }

  /** Let an action change the label map, as one step of undo. */
  edit(action) {
    this.remember();
    action(this.labels);
    this.draw();
    this.onEdit();
  }

  /** Start a step of undo. */
  remember() {
    this.past.push(this.labels.slice());
    this.future = [];
    while (this.past.length > 1 && this.past.length * this.labels.length > MAX_HISTORY_BYTES) this.past.shift();
  }

  undo() {
    this.#travel(this.past, this.future);
  }

  redo() {
    this.#travel(this.future, this.past);
  }

  /** Draw the whole label map. */
  draw() {
    drawPixels(this.overlay, this.width, this.height, (pixel) =>
      this.labels[pixel] ? this.colorOfValue(this.labels[pixel]) : null);
  }

  #travel(from, to) {
    this.finish();
    if (!this.labels || !from.length) return;
    to.push(this.labels);
    this.labels = from.pop();
    this.draw();
    this.onEdit();
  }

  /** End a stroke whose pointer is still down. */
  finish() {
    const unfinished = this.pressed && this.#paints();
    this.#start();
    if (unfinished) this.onEdit();
  }

  #start() {
    this.pressed = null; // the position where the pointer went down
    this.last = null; // its position now
  }

  /** Return the position of an event in pixels of the picture. */
  #position(event) {
    const frame = this.picture.getBoundingClientRect();
    const along = (offset, length, size) => Math.max(0, Math.min(size - 1, Math.floor((offset / length) * size)));
    return [along(event.clientX - frame.left, frame.width, this.width),
      along(event.clientY - frame.top, frame.height, this.height)];
  }

  #press(event, stack) {
    if (!this.labels || event.button !== 0) return;
    event.preventDefault();
    document.activeElement?.blur(); // keys are for the picture now, not for the list or text before
    if (event.isTrusted) stack.setPointerCapture(event.pointerId);
    this.pressed = this.last = this.#position(event);
    if (this.#paints()) {
      this.remember();
      this.#stroke(this.last, this.last);
    }
  }

  #move(event) {
    if (!this.pressed) return;
    const position = this.#position(event);
    if (this.#paints()) this.#stroke(this.last, position);
    this.last = position;
    if (this.tool === "box") this.#drawMarks(this.#box());
  }

  #release(event) {
    if (!this.pressed) return;
    if (event.type !== "pointercancel") this.last = this.#position(event);
    if (this.#paints()) this.finish();
    else this.#mark();
  }

  #paints() {
    return this.tool === "brush" || this.tool === "eraser";
  }

  #mark() {
    if (this.tool === "box") this.marks.box = this.#box();
    else this.marks[this.tool].push(this.last);
    this.#start();
    this.#drawMarks();
    this.onMark();
  }

  /** Return the box between the pressed and the last position: [x1, y1, x2, y2], with ends after the last pixel. */
  #box() {
    const [[x1, y1], [x2, y2]] = [this.pressed, this.last];
    return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2) + 1, Math.max(y1, y2) + 1];
  }

  /** Paint the discs of the brush between two positions. */
  #stroke([x1, y1], [x2, y2]) {
    const steps = Math.max(Math.abs(x2 - x1), Math.abs(y2 - y1), 1);
    for (let step = 0; step <= steps; step++)
      this.#disc(Math.round(x1 + ((x2 - x1) * step) / steps), Math.round(y1 + ((y2 - y1) * step) / steps));
    const reach = Math.ceil(this.brush / 2);
    const [left, top] = [Math.max(0, Math.min(x1, x2) - reach), Math.max(0, Math.min(y1, y2) - reach)];
    const right = Math.min(this.width, Math.max(x1, x2) + reach + 1);
    this.#drawPart(left, top, right, Math.min(this.height, Math.max(y1, y2) + reach + 1));
  }

  #disc(x, y) {
    const value = this.tool === "brush" ? this.value : 0;
    const radius = this.brush / 2;
    const reach = Math.floor(radius);
    for (let row = Math.max(0, y - reach); row <= Math.min(this.height - 1, y + reach); row++)
      for (let column = Math.max(0, x - reach); column <= Math.min(this.width - 1, x + reach); column++)
        if ((column - x) ** 2 + (row - y) ** 2 <= radius ** 2) this.labels[row * this.width + column] = value;
  }

  #drawPart(left, top, right, bottom) {
    const context = this.overlay.getContext("2d");
    const image = context.createImageData(right - left, bottom - top);
    for (let row = top, at = 0; row < bottom; row++)
      for (let column = left; column < right; column++, at += 4) {
        const value = this.labels[row * this.width + column];
        if (value) {
          image.data.set(this.colorOfValue(value), at);
          image.data[at + 3] = 255;
        }
      }
    context.putImageData(image, left, top);
  }

  #drawMarks(box = this.marks.box) {
    const context = this.markLayer.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    const size = Math.max(2, Math.min(this.width, this.height) / 60);
    context.lineWidth = size / 2;
    for (const [kind, color] of [["foreground", "#00e676"], ["background", "#ff5252"]])
      for (const [x, y] of this.marks[kind]) {
        context.beginPath();
        context.arc(x + 0.5, y + 0.5, size, 0, 2 * Math.PI);
        context.fillStyle = color;
        context.strokeStyle = "#000";
        context.fill();
        context.stroke();
      }
    if (box) {
      context.strokeStyle = "#ffd740";
      context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    }
  }
}
