// snapshots.js: whole documents, under keys of a state channel.
//
// A snapshot is one or more messages, for a message has a limit. Their keys say up to
// where the log is in it, who wrote it, and which part this is of how many:
//
//   epoch/offset/writer/part/parts
//
// Nobody overwrites a snapshot of somebody else, so clients that write at the same time
// harm nobody: a reader takes all that are complete, and the newest offset says where in
// the log to go on. Who writes one deletes those that are in it, and no others.

const PART = 48 * 1024; // bytes; the server takes messages of 64 KiB
const PARTS = 64;
const GIVEN_UP = 60_000; // ms after which nobody is still writing

const MOST = PART * PARTS;

export class Snapshots {
  // came is called when anything has changed.
  constructor(channel, came, signal) {
    this.channel = channel;
    this.state = channel.state;
    this.seen = new Map(); // id → when it was first seen in parts
    this.state.on(came, {signal});
  }

  // ready answers when all that the server has is here.
  ready(signal) { return this.state.whenReady({signal}); }

  // list has each complete snapshot: {id, epoch, offset, keys, bytes}.
  list() { return this.all().filter((s) => s.complete); }

  // newest is the offset up to which the log of that epoch is in snapshots.
  newest(epoch) { return Math.max(0, ...this.list().filter((s) => s.epoch === epoch).map((s) => s.offset)); }

  all() {
    const found = new Map();
    for (const [key, value] of this.state) {
      const match = /^([^/]+)\/(\d+)\/([^/]+)\/(\d+)\/(\d+)$/.exec(key);
      if (!match || !(value instanceof Uint8Array)) continue;
      const [epoch, writer] = [match[1], match[3]], [offset, part, parts] = [match[2], match[4], match[5]].map(Number);
      if (part >= parts || parts > PARTS) continue;
      const id = `${epoch}/${offset}/${writer}/${parts}`;
      const s = found.get(id) ?? new Snapshot(id, epoch, offset, parts);
      found.set(id, s);
      s.keys.push(key);
      s.parts[part] = value;
    }
    return [...found.values()];
  }

  // write stores a document that has the log up to a position, and then deletes the
  // snapshots that are in it already.
  async write(bytes, {epoch, offset}, within) {
    if (bytes.length > MOST) throw new Error(`the document has ${bytes.length} bytes, and may have ${MOST}`);
    const parts = Math.max(1, Math.ceil(bytes.length / PART));
    const id = `${epoch}/${offset}/${crypto.randomUUID()}`;
    const began = Date.now();
    for (let n = 0; n < parts; n++) {
      // Others delete what was begun long ago and is not complete: a page that stood still does not go on with it.
      if (Date.now() - began > GIVEN_UP / 2) throw new Error('the snapshot took too long');
      await this.channel.publish('snapshot', bytes.subarray(n * PART, (n + 1) * PART), {key: `${id}/${n}/${parts}`, timeout: GIVEN_UP / 4});
    }
    for (const s of [...within, ...this.abandoned()]) {
      for (const key of s.keys) if (this.state.has(key)) await this.channel.publish('snapshot', null, {key});
    }
  }

  // abandoned are those whose writers went away in the middle.
  abandoned() {
    const partial = this.all().filter((s) => !s.complete);
    const now = Date.now();
    this.seen = new Map(partial.map(({id}) => [id, this.seen.get(id) ?? now]));
    return partial.filter(({id}) => now - this.seen.get(id) > GIVEN_UP);
  }
}

class Snapshot {
  constructor(id, epoch, offset, parts) {
    Object.assign(this, {id, epoch, offset, keys: [], parts: new Array(parts)});
  }

  get complete() { return this.keys.length === this.parts.length; }

  get bytes() {
    const whole = new Uint8Array(this.parts.reduce((sum, p) => sum + p.length, 0));
    let at = 0;
    for (const p of this.parts) {
      whole.set(p, at);
      at += p.length;
    }
    return whole;
  }
}
