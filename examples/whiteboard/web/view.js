// view.js: a board on the screen: two canvases, one with what is finished and one with
// what changes with every move, and the names at the cursors.

import {el, hue} from '/demo/assets/page.js';
import {HEIGHT, WIDTH, draw} from './ink.js';

const NEAREST = 6; // times the whole board

export class View {
  constructor(frame) {
    this.frame = frame;
    this.drawn = frame.querySelector('#drawn').getContext('2d');
    this.drawing = frame.querySelector('#drawing').getContext('2d');
    this.tags = frame.querySelector('#cursors');
    this.zoom = 1;
    this.middle = {x: WIDTH / 2, y: HEIGHT / 2}; // of the board, in the middle of the frame
    this.strokes = [];
    this.moving = () => []; // strokes that are being drawn
    this.pen = undefined; // of the keyboard: {x, y, down}
    this.due = new Set();
    new ResizeObserver(() => this.resize()).observe(frame);
    this.resize();
  }

  resize() {
    const {clientWidth, clientHeight} = this.frame;
    const dots = Math.min(devicePixelRatio, 2);
    for (const {canvas} of [this.drawn, this.drawing]) {
      canvas.width = clientWidth * dots;
      canvas.height = clientHeight * dots;
    }
    this.dots = dots;
    this.all();
  }

  // scale is pixels of the page for one of the board. The whole board fits into the frame, or, in a frame that is higher than the board, is as high as it.
  get scale() {
    const {clientWidth: w, clientHeight: h} = this.frame;
    return this.zoom * (w < h ? h / HEIGHT : Math.min(w / WIDTH, h / HEIGHT));
  }

  // to answers where on the board a place in the frame is, and from the other way around.
  to(x, y) {
    const {clientWidth: w, clientHeight: h} = this.frame;
    return {x: this.middle.x + (x - w / 2) / this.scale, y: this.middle.y + (y - h / 2) / this.scale};
  }
  from(x, y) {
    const {clientWidth: w, clientHeight: h} = this.frame;
    return {x: w / 2 + (x - this.middle.x) * this.scale, y: h / 2 + (y - this.middle.y) * this.scale};
  }

  // nearer zooms by a factor, around a place in the frame.
  nearer(factor, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const before = this.to(x, y);
    this.zoom = Math.min(NEAREST, Math.max(1, this.zoom * factor));
    const after = this.to(x, y);
    this.move(before.x - after.x, before.y - after.y);
  }

  // move moves what is looked at, but not off the board.
  move(x, y) {
    const bound = (at, half, size) => half * 2 >= size ? size / 2 : Math.min(size - half, Math.max(half, at));
    const half = {x: this.frame.clientWidth / this.scale / 2, y: this.frame.clientHeight / this.scale / 2};
    this.middle = {x: bound(this.middle.x + x, half.x, WIDTH), y: bound(this.middle.y + y, half.y, HEIGHT)};
    this.all();
  }

  all() { for (const what of ['drawn', 'drawing', 'tags']) this.soon(what); }

  // soon draws with the next frame, however often it is called before.
  soon(what) {
    if (this.due.size === 0) requestAnimationFrame(() => {
      const due = [...this.due];
      this.due.clear();
      for (const part of due) this[`paint_${part}`]();
    });
    this.due.add(what);
  }

  begin(context) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const zero = this.from(0, 0), s = this.scale * this.dots;
    context.setTransform(s, 0, 0, s, zero.x * this.dots, zero.y * this.dots);
  }

  paint_drawn() {
    this.begin(this.drawn);
    for (const s of this.strokes) draw(this.drawn, s);
  }

  paint_drawing() {
    const context = this.drawing;
    this.begin(context);
    for (const s of this.moving()) if (s.points.length) draw(context, s);
    if (!this.pen) return;
    const {x, y, down} = this.pen, r = (down ? 6 : 10) / this.scale;
    context.lineWidth = 2 / this.scale;
    context.strokeStyle = '#10282c';
    context.stroke(new Path2D(`M${x - 2 * r} ${y}h${r}m${2 * r} 0h${r}M${x} ${y - 2 * r}v${r}m0 ${2 * r}v${r}`));
  }

  // cursors shows who points where.
  paint_tags() {
    const left = new Map([...this.tags.children].map((e) => [e.textContent, e]));
    for (const [name, {x, y}] of this.cursors ?? []) {
      const tag = left.get(name) ?? this.tags.appendChild(el('span', {className: 'cursor'}, name));
      left.delete(name);
      const at = this.from(x, y);
      tag.style.setProperty('--hue', hue(name));
      tag.style.transform = `translate(${at.x}px, ${at.y}px)`;
    }
    for (const gone of left.values()) gone.remove();
  }
}
