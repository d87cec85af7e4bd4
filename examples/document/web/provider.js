// provider.js: joins a Y.Doc to Ringdown.
//
//   const provider = new Provider(client, 'minutes', doc, awareness, (status) => …), and at the end provider.close()
//
// What is written goes as binary messages to the log doc:NAME:updates, which keeps the last 2,000. Every 200
// somebody who has all of them writes a snapshot of the whole to the state channel doc:NAME:snapshot. Who comes
// reads the snapshots, the log behind them, and then what is new. Cursors are ephemeral messages.
//
// Yjs does not mind an update that comes twice or in another order. None may be lost, and so:
// - What was written here stays in `pending` until the server has acknowledged it.
// - After each load, the first and any after a gap, what the server lacks is published: what was written before a
//   reload (y-indexeddb keeps it), or before the server lost its log.
// - Only who has the log up to a position without a hole writes a snapshot that names it.

import {sync} from '/v1/client/all.js';
import {Y, awareness} from './editor.js';
import {Snapshots} from './snapshots.js';

const EVERY = 200; // updates between two snapshots; ringdown.yaml keeps ten times as many
const SPREAD = 3_000; // ms in which one of those who could write it does
const MOST = 48 * 1024; // bytes of one update; the server takes messages of 64 KiB
const PACE = 100; // ms between two updates of this page, and between two moves of its cursor
const TOGETHER = 20; // ms in which what others wrote is gathered
const PAUSE = 3_000; // ms after an update that failed

export class Provider {
  // presence is an Awareness of doc. told is given {loaded, unsent, whole, error}.
  constructor(client, name, doc, presence, told = () => {}) {
    Object.assign(this, {client, doc, presence, told});
    this.position = undefined; // {epoch, offset}: up to there the log is in doc
    this.hole = 0; // the log before this offset was gone: a snapshot must have it
    this.skipped = false; // something came that Yjs could not read
    this.pending = []; // updates of this page that the server has not acknowledged
    this.sending = false;
    this.incoming = []; // messages of the log that are not applied yet
    this.applied = new Set(); // ids of snapshots that are in doc
    this.end = new AbortController();
    const {signal} = this.end;

    this.log = client.channel(`doc:${name}:updates`);
    this.snapshots = new Snapshots(client.channel(`doc:${name}:snapshot`), () => this.readSnapshots(), signal);
    this.changed = (update, origin) => origin !== this && this.keep(update);
    doc.on('update', this.changed);
    this.startPresence(signal);

    // A gap: until all has been loaded anew nobody knows up to where doc has the log.
    this.log.when('gap', () => { this.position = undefined; this.incoming = []; this.tell(); }, {signal});
    this.log.when('failed', ({error}) => { this.error = error; this.tell(); }, {signal});
    sync(this.log, {
      load: async (until) => ({data: await this.load(until)}),
      loaded: (found) => this.loaded(found),
      apply: (m) => m.type === 'update' && this.apply(m),
      failed: (cause) => console.warn('the document could not be loaded, and is tried again:', cause.message),
      signal,
    });
    client.on('state', ({state}) => state === 'live' && this.flush(), {signal});
  }

  // whole: doc has everything up to its position.
  get whole() {
    return this.position !== undefined && !this.skipped && this.snapshots.newest(this.position.epoch) >= this.hole;
  }

  tell() {
    this.told({loaded: this.position !== undefined, unsent: this.pending.length > 0, whole: this.whole, error: this.error});
  }

  close() {
    awareness.removeAwarenessStates(this.presence, [this.doc.clientID], 'local');
    this.sayPresence();
    this.doc.off('update', this.changed);
    this.end.abort();
    clearTimeout(this.timer);
    clearTimeout(this.applying);
  }

  // Loading.

  // load reads what the server has, into a document of its own. sync calls it when the
  // subscription is there, and holds back meanwhile what comes over it.
  async load(signal) {
    await this.snapshots.ready(signal);
    const there = new Y.Doc();
    const known = this.snapshots.list();
    let skipped = false;
    const put = (bytes) => { skipped = !applied(there, bytes) || skipped; };
    for (const s of known) put(s.bytes);
    const {epoch, offset, hole, updates} = await this.readLog(signal);
    for (const m of updates) put(m.data);
    return {there, known, skipped, hole, position: {epoch, offset}};
  }

  // readLog reads the log backwards, to where a snapshot has it.
  async readLog(signal) {
    const updates = [];
    let first, epoch, head = 0;
    do {
      const page = await this.log.page({before: first?.offset, limit: 1000, signal});
      if (epoch !== undefined && page.epoch !== epoch) throw new Error('the log was replaced while it was read');
      epoch = page.epoch;
      const base = this.snapshots.newest(epoch);
      head ||= page.messages.at(-1)?.offset ?? base;
      updates.unshift(...page.messages.filter((m) => m.type === 'update' && m.data instanceof Uint8Array && m.offset > base));
      first = page.messages[0];
      const before = first ? first.prev ?? first.offset - 1 : base; // the offset that must be in a snapshot
      if (before <= base || !page.more) return {epoch, offset: head, updates, hole: before};
    } while (true);
  }

  loaded({there, known, skipped, hole, position}) {
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(there), this);
    for (const s of known) this.applied.add(s.id);
    Object.assign(this, {skipped, hole, position, error: undefined});
    // What the server lacks: written here while it did not hear, or lost by it.
    const same = Y.equalSnapshots(Y.snapshot(there), Y.snapshot(this.doc));
    this.pending = same ? [] : [Y.encodeStateAsUpdate(this.doc, Y.encodeStateVector(there))];
    there.destroy();
    this.readSnapshots();
    this.compact();
    this.tell();
    this.flush();
  }

  // apply takes an update of the log that is new. Those that come together, a thousand after a night's sleep, are one change to the editor.
  apply(m) {
    this.incoming.push(m);
    this.applying ??= setTimeout(() => this.applyAll(), TOGETHER);
  }

  applyAll() {
    this.applying = undefined;
    const list = this.incoming.splice(0);
    if (!this.position) return; // all is loaded anew, and these with it
    Y.transact(this.doc, () => {
      for (const {data} of list) if (data instanceof Uint8Array && !applied(this.doc, data, this)) this.skipped = true;
    }, this);
    this.position.offset = Math.max(this.position.offset, ...list.map((m) => m.offset));
    if (this.skipped) this.tell();
    this.compact();
  }

  // Snapshots.

  // readSnapshots takes those that came since: from who compacts the log, or writes more than one message holds.
  readSnapshots() {
    if (!this.position) return;
    for (const s of this.snapshots.list()) {
      if (this.applied.has(s.id)) continue;
      if (applied(this.doc, s.bytes, this)) this.applied.add(s.id);
      else this.skipped = true;
    }
    this.tell();
  }

  // compact has a snapshot written when the log has grown by enough. All that could do it wait for different times, and look again.
  compact() {
    const due = () => this.whole && this.position.offset - this.snapshots.newest(this.position.epoch) >= EVERY;
    if (this.timer || !due()) return;
    this.timer = setTimeout(() => {
      if (due()) this.writeSnapshot().catch((cause) => console.warn('no snapshot was written:', cause.message));
      this.timer = undefined;
    }, Math.random() * SPREAD);
  }

  // writeSnapshot writes the document as it is. If there is a hole in it, the snapshot claims nothing of the log.
  async writeSnapshot() {
    const {epoch, offset} = this.position;
    const within = this.snapshots.list().filter((s) => this.applied.has(s.id));
    await this.snapshots.write(Y.encodeStateAsUpdate(this.doc), {epoch, offset: this.whole ? offset : 0}, this.whole ? within : []);
  }

  // Publishing.

  keep(update) {
    this.pending.push(update);
    this.tell();
    this.flush();
  }

  // flush publishes what is pending as one update, and then what was written meanwhile.
  async flush() {
    if (this.sending || !this.pending.length || !this.position || this.client.state !== 'live' || this.end.signal.aborted) return;
    this.sending = true;
    const taken = this.pending.slice();
    const update = Y.mergeUpdates(taken);
    let pause = PACE;
    try {
      // The outbox of the client sends it again over breaks of the line.
      if (update.length <= MOST) await this.log.publish('update', update, {timeout: 20_000});
      else await this.writeSnapshot(); // which may have several parts; the others read it
      this.pending = this.pending.filter((u) => !taken.includes(u));
      this.error = undefined;
    } catch (cause) {
      // To publish it again harms nothing, also if it did come.
      if (!cause.retryable && cause.code !== 'unknown') this.error = cause;
      pause = PAUSE;
    }
    this.tell();
    setTimeout(() => {
      this.sending = false;
      this.flush();
    }, pause);
  }

  // Presence: who else is here, and where their cursors are.

  startPresence(signal) {
    const others = () => [...this.presence.getStates().keys()].filter((id) => id !== this.doc.clientID);
    const own = ({added, updated, removed}) => {
      if ([...added, ...updated, ...removed].includes(this.doc.clientID)) this.saySoon();
    };
    this.presence.on('update', own);
    signal.addEventListener('abort', () => this.presence.off('update', own));
    this.log.when('subscribed', () => {
      this.log.publish('hello', {}, {ack: false}).catch(() => {}); // the others say where they are
      this.saySoon();
    }, {signal});
    this.log.on('hello', () => this.saySoon(Math.random() * 5 * PACE), {signal}); // not all at once
    this.log.on('awareness', (data) => {
      try { awareness.applyAwarenessUpdate(this.presence, data, this); } catch { /* somebody sent something else */ }
    }, {signal});
    // Without a line nobody knows where the others are.
    this.client.on('state', ({state}) => state === 'waiting' && awareness.removeAwarenessStates(this.presence, others(), this), {signal});
  }

  saySoon(delay = PACE) {
    this.saying ??= setTimeout(() => {
      this.saying = undefined;
      if (!this.end.signal.aborted) this.sayPresence();
    }, delay);
  }

  sayPresence() {
    const own = awareness.encodeAwarenessUpdate(this.presence, [this.doc.clientID]);
    this.log.publish('awareness', own, {ack: false}).catch(() => {}); // without a line there is nobody to tell
  }
}

// applied applies an update, and answers whether it could.
function applied(doc, bytes, origin) {
  try {
    Y.applyUpdate(doc, bytes, origin);
    return true;
  } catch {
    return false;
  }
}
