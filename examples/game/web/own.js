// own.js: the player of this page, who walks ahead of the server.
//
// Each step is made here at once, and is kept until a tick says that the server has made
// it. A tick says where the server has the player after which step: from there the steps
// that it has not made yet are walked again. Where that leads elsewhere than the page had
// the player, the server was right; the picture glides over to it.

import {distance, period} from './rules.js';

const most = 20; // steps ahead; beyond that the page waits for the server
const glide = 80; // ms in which a correction fades to a third
const jump = 300; // hundredths of a cell from which on a correction is no longer glided over

export class Own {
  session = Date.now(); // the newest page of a user plays
  inside = false; // the last tick had this page's player
  elsewhere = false; // a newer page plays
  pending = []; // {step, way}
  last = 0; // the number of the last step
  others = []; // who may be in the way
  corrected = 0; // how far the last tick moved us, in hundredths of a cell
  worst = 0; // the farthest so far
  aside = {x: 0, y: 0}; // of the picture, while it glides

  constructor(field) { this.field = field; }

  // walk makes one step, if the server is not too far behind.
  walk(way) {
    if (!this.inside || this.pending.length >= most) return false;
    this.pending.push({step: ++this.last, way});
    this.before = this.at;
    this.at = this.field.step(this.at, way, this.others);
    return true;
  }

  rest() { this.before = this.at; }

  // input is what the server is to be told: all that it has not said it has made.
  get input() {
    return {session: this.session, first: this.pending[0]?.step ?? this.last + 1, steps: this.pending.map((p) => p.way).join('')};
  }

  // hear takes what a tick says of this user; undefined: nothing. others are the places of
  // the other people. It is true when the player has to enter anew: the server no longer has
  // it, or what was heard before is too long ago to go on from (pause).
  hear(said, others, pause) {
    this.others = others;
    if (this.inside && (pause || said === undefined)) {
      this.again();
      return true;
    }
    this.elsewhere = said !== undefined && said.session > this.session;
    if (said?.session !== this.session) {
      [this.inside, this.pending] = [false, []];
      return false;
    }
    const expected = this.inside ? this.at : undefined;
    this.server = {x: said.x, y: said.y};
    this.pending = this.pending.filter((p) => p.step > said.step);
    this.at = this.server;
    for (const {way} of this.pending) this.at = this.field.step(this.at, way, others);
    this.inside = true;
    if (expected) this.correct(expected);
    else [this.before, this.aside] = [this.at, {x: 0, y: 0}];
    return false;
  }

  correct(expected) {
    const [x, y] = [expected.x - this.at.x, expected.y - this.at.y];
    const far = distance(expected, this.at);
    if (far === 0) return;
    this.corrected = far;
    this.worst = Math.max(this.worst, far);
    this.before = {x: this.before.x - x, y: this.before.y - y};
    this.aside = far > jump ? {x: 0, y: 0} : {x: this.aside.x + x, y: this.aside.y + y};
  }

  // ahead is how far the page is from where the server has the player.
  get ahead() { return this.inside ? distance(this.at, this.server) : 0; }

  // picture is where to draw it, so many ms after the last step and since the last picture.
  picture(since, passed) {
    const share = Math.min(1, since / period), left = Math.exp(-passed / glide);
    this.aside = {x: this.aside.x * left, y: this.aside.y * left};
    return {
      x: this.before.x + (this.at.x - this.before.x) * share + this.aside.x,
      y: this.before.y + (this.at.y - this.before.y) * share + this.aside.y,
    };
  }

  // again begins a session, in which none of the steps counts that may still be on their way.
  // It plays, and no older one of the same user.
  again() {
    Object.assign(this, {session: Math.max(Date.now(), this.session + 1), last: 0, pending: [], inside: false, elsewhere: false});
  }
}
