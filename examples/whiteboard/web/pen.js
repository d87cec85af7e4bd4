// pen.js: from pointers and keys to strokes.

import {HEIGHT, WIDTH} from './ink.js';
import {MOST} from './board.js';

const CLOSE = 2; // points that are nearer than this to the last one are left out
const STEP = 10, LEAP = 60; // of the arrow keys

const on = (value, most) => Math.round(Math.min(most, Math.max(0, value)));

export class Pen {
  // tool() answers with {colour, width}; say is told what a screen reader should read out.
  constructor(view, board, tool, say) {
    Object.assign(this, {view, board, tool, say});
    this.current = undefined; // the stroke that is being drawn
    this.touches = new Map(); // pointers on the board
    this.end = new AbortController();
    const canvas = view.drawing.canvas;
    const listen = (name, fn, options = {}) => canvas.addEventListener(name, fn, {signal: this.end.signal, ...options});
    listen('pointerdown', (e) => this.down(e));
    listen('pointermove', (e) => this.moved(e));
    for (const name of ['pointerup', 'pointercancel']) listen(name, (e) => this.up(e));
    listen('wheel', (e) => this.wheel(e), {passive: false});
    listen('keydown', (e) => this.key(e));
    listen('blur', () => this.lift());
  }

  close() {
    this.lift();
    this.view.pen = undefined;
    this.end.abort();
  }

  // add adds a point to the current stroke. One that is too long goes on as another.
  add(x, y) {
    const at = [on(x, WIDTH), on(y, HEIGHT)];
    const {points} = this.current;
    if (points.length && Math.hypot(at[0] - points.at(-2), at[1] - points.at(-1)) < CLOSE) return;
    points.push(...at);
    if (points.length >= 2 * MOST) {
      const {colour, width} = this.current;
      this.board.finish(this.current);
      this.current = this.board.begin(colour, width);
      this.current.points.push(...at);
    }
    this.board.tell(this.current);
    this.view.soon('drawing');
  }

  begin(x, y) {
    const {colour, width} = this.tool();
    this.current = this.board.begin(colour, width);
    this.add(x, y);
  }

  lift() {
    if (!this.current) return;
    this.board.finish(this.current);
    this.current = undefined;
    if (this.view.pen) this.view.pen.down = false;
    this.view.soon('drawing');
  }

  // Pointers: one draws, two move and zoom.

  down(e) {
    if (e.button !== 0) return;
    e.target.setPointerCapture(e.pointerId);
    this.touches.set(e.pointerId, {x: e.offsetX, y: e.offsetY});
    this.view.pen = undefined;
    if (this.touches.size === 1) {
      const {x, y} = this.view.to(e.offsetX, e.offsetY);
      this.begin(x, y);
    } else {
      this.current = undefined; // it was the first finger of two
      this.view.soon('drawing');
    }
  }

  moved(e) {
    const touch = this.touches.get(e.pointerId);
    if (this.touches.size > 1 && touch) return this.pinch(e, touch);
    const {x, y} = this.view.to(e.offsetX, e.offsetY);
    if (!this.current) return this.board.moveTo(on(x, WIDTH), on(y, HEIGHT));
    // Between two frames there may be many, and they make the line smooth.
    const between = e.getCoalescedEvents?.() ?? [];
    for (const c of between.length ? between : [e]) {
      const at = this.view.to(c.offsetX, c.offsetY);
      this.add(at.x, at.y);
    }
  }

  pinch(e, touch) {
    const [other] = [...this.touches].filter(([id]) => id !== e.pointerId).map(([, at]) => at);
    const before = Math.hypot(touch.x - other.x, touch.y - other.y), after = Math.hypot(e.offsetX - other.x, e.offsetY - other.y);
    this.view.move((touch.x - e.offsetX) / 2 / this.view.scale, (touch.y - e.offsetY) / 2 / this.view.scale);
    if (before > 0) this.view.nearer(after / before, (e.offsetX + other.x) / 2, (e.offsetY + other.y) / 2);
    this.touches.set(e.pointerId, {x: e.offsetX, y: e.offsetY});
  }

  up(e) {
    this.touches.delete(e.pointerId);
    this.lift();
  }

  // The wheel zooms with Ctrl (as pinching on a touchpad does), and moves a board that is zoomed.
  wheel(e) {
    if (e.ctrlKey) this.view.nearer(Math.exp(-e.deltaY / 200), e.offsetX, e.offsetY);
    else if (this.view.zoom > 1) this.view.move(e.deltaX / this.view.scale, e.deltaY / this.view.scale);
    else return;
    e.preventDefault();
  }

  // Keys.

  key(e) {
    const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
    const pen = this.view.pen ?? {x: on(this.view.middle.x, WIDTH), y: on(this.view.middle.y, HEIGHT), down: false};
    const way = ways[e.key];
    if (way) {
      const step = e.shiftKey ? LEAP : STEP;
      pen.x = on(pen.x + way[0] * step, WIDTH);
      pen.y = on(pen.y + way[1] * step, HEIGHT);
      if (this.current) this.add(pen.x, pen.y);
      else this.board.moveTo(pen.x, pen.y);
    } else if (e.key === ' ' && !e.repeat) {
      if (this.current) this.lift();
      else this.begin(pen.x, pen.y);
      pen.down = this.current !== undefined;
      this.say(`Pen ${pen.down ? 'down' : 'up'} at ${pen.x}, ${pen.y}`);
    } else if (e.key === 'Escape') {
      this.lift();
    } else {
      return;
    }
    e.preventDefault();
    this.view.pen = pen;
    this.view.soon('drawing');
  }
}
