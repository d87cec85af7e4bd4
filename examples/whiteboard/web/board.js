// board.js: the strokes of one board: those that the server has, those of this page that
// it does not have yet, and those that others are drawing just now.

import {randomId} from '/demo/assets/page.js';
import {colours, widths} from './ink.js';

const DAY = 86_400_000;
const SILENT = 4_000; // ms after which who draws or points has stopped
const PACE = 50; // ms between two moves that are told: 20 a second
export const MOST = 400; // points of a stroke
const MOST_LIVE = 100; // points of one message about a stroke that is being drawn

export class Board {
  // changed(what) is called with strokes, live, cursors or people; failed(error) when
  // something that was drawn or taken back is refused.
  constructor(client, user, name, changed, failed) {
    Object.assign(this, {user, changed, failed});
    this.waiting = new Map(); // key → stroke of this page that the server does not have yet
    this.hidden = new Set(); // keys that this page has taken back
    this.others = new Map(); // key → {stroke, heard}: being drawn
    this.cursors = new Map(); // user → {x, y, heard}
    this.told = 0; // when the last move was
    this.end = new AbortController();
    const {signal} = this.end;
    this.channel = client.channel(`whiteboard:${name}`);
    this.channel.state.on(({key}) => this.stored(key), {signal});
    this.channel.on('live', (data, {from}) => this.live(data, from), {signal});
    this.channel.on('cursor', ({x, y}, {from}) => this.point(from, x, y), {signal});
    this.channel.presence.on((members) => {
      this.people = [...new Set([...members.values()].map((m) => m.user))].filter(Boolean).sort();
      changed('people');
    }, {signal});
    this.people = [];
    this.channel.presence.enter().catch(() => {}); // it is tried again with each line
    this.sweeping = setInterval(() => this.sweep(), 1000);
  }

  close() {
    this.end.abort();
    clearInterval(this.sweeping);
    this.channel.presence.leave().catch(() => {});
  }

  // strokes are all that are finished, in the order in which they were begun, which is the same everywhere.
  strokes() {
    const all = [];
    for (const [key, s] of this.channel.state) if (drawable(s) && !this.hidden.has(key)) all.push([key, s]);
    for (const [key, s] of this.waiting) if (!this.channel.state.has(key)) all.push([key, s]);
    all.sort(([a, s], [b, t]) => s.time - t.time || (a < b ? -1 : 1));
    return all;
  }

  // own is the key of the stroke that undo takes back.
  own() { return this.strokes().findLast(([key]) => key.startsWith(this.user + '/'))?.[0]; }

  // begin answers with a new stroke, which is told while it grows and stored with finish.
  begin(colour, width) { return {key: `${this.user}/${randomId()}`, colour, width, time: Date.now(), points: [], sent: 0}; }

  // tell has the others see how a stroke grows.
  tell(stroke, now = Date.now()) {
    if (now - this.told < PACE) return;
    this.told = now;
    const points = stroke.points.slice(stroke.sent, stroke.sent + 2 * MOST_LIVE);
    if (points.length === 0) return;
    stroke.sent += points.length;
    const {key: id, colour, width} = stroke;
    this.channel.publish('live', {id, colour, width, points}, {ack: false}).catch(() => {});
  }

  // moveTo tells where this page points.
  moveTo(x, y, now = Date.now()) {
    if (now - this.told < PACE) return;
    this.told = now;
    this.channel.publish('cursor', {x, y}, {ack: false}).catch(() => {});
  }

  async finish({key, colour, width, time, points}) {
    if (points.length === 0) return;
    this.waiting.set(key, {colour, width, time, points});
    this.changed('strokes');
    try {
      // Without a line it waits in the outbox, which outlives the page.
      await this.channel.publish('stroke', {colour, width, time, points}, {key, timeout: DAY});
      // It comes back as a change of the state, unless the board was cleared in the same moment.
      setTimeout(() => this.settle(key), SILENT);
    } catch (error) {
      this.settle(key);
      this.failed(error);
    }
  }

  settle(key) {
    if (this.waiting.delete(key)) this.changed('strokes');
  }

  // undo takes back the last stroke of this user. What is not stored yet is stored and then deleted, in this order.
  async undo() {
    const key = this.own();
    if (!key) return;
    this.hidden.add(key);
    this.waiting.delete(key);
    this.changed('strokes');
    try {
      await this.channel.publish('stroke', null, {key, timeout: DAY});
    } catch (error) {
      this.hidden.delete(key);
      this.changed('strokes');
      this.failed(error);
    }
  }

  stored(key) {
    if (key === undefined) for (const k of this.waiting.keys()) if (this.channel.state.has(k)) this.waiting.delete(k);
    this.waiting.delete(key);
    this.others.delete(key);
    this.changed('strokes');
  }

  // live takes what somebody has added to a stroke. Only the author of it can.
  live({id, colour, width, points}, from) {
    if (!id.startsWith(from + '/') || this.channel.state.has(id) || from === this.user) return;
    const known = this.others.get(id)?.stroke ?? {colour, width, points: []};
    if (known.points.length < 2 * MOST) known.points.push(...points.slice(0, points.length & ~1));
    this.others.set(id, {stroke: known, heard: Date.now()});
    this.point(from, known.points.at(-2), known.points.at(-1));
    this.changed('live');
  }

  point(from, x, y) {
    if (from === this.user || from === undefined) return;
    this.cursors.set(from, {x, y, heard: Date.now()});
    this.changed('cursors');
  }

  // sweep forgets those of whom nothing was heard for a while.
  sweep() {
    const past = Date.now() - SILENT;
    for (const [what, map] of [['live', this.others], ['cursors', this.cursors]]) {
      let gone = false;
      for (const [key, {heard}] of map) if (heard < past) gone = map.delete(key);
      if (gone) this.changed(what);
    }
  }
}

// The schema holds for what users publish; a program with a key may have put something else there.
function drawable(s) {
  return s && Object.hasOwn(colours, s.colour) && Object.hasOwn(widths, s.width) && Array.isArray(s.points) && s.points.length >= 2;
}
