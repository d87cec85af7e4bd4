// marks.js: what of the inbox is read, on all devices.
//
// The server has the last word: a state channel brings the marks, and a call adds to
// them. What is marked without a line is shown as read at once, kept in this browser, and
// said when the line is back. Nothing that is read becomes unread by it.

export class Marks {
  epoch;
  upto = 0;
  also = new Set();
  muted = new Set(); // kinds
  #waiting; // {epoch, upto, offsets}: marked here, and not said yet
  #saying = false;

  constructor(client, user, changed) {
    this.client = client;
    this.place = `inbox ${user}`;
    this.changed = changed;
    this.#look();
    const {state} = client.channel(`inbox:${user}:marks`);
    state.on(() => {
      const read = state.get('read');
      if (read) Object.assign(this, {epoch: read.epoch, upto: read.upto, also: new Set(read.also)});
      this.muted = new Set(state.get('muted')?.kinds);
      changed();
    });
    client.on('state', ({state: line}) => line === 'live' && this.#say());
  }

  // An offset is of an epoch: in another one the marks say nothing.
  isRead({epoch, offset}) {
    const within = (m, also) => m.epoch === epoch && (offset <= m.upto || also.has(offset));
    return within(this, this.also) || within(this.#waiting, new Set(this.#waiting.offsets));
  }

  readOne({epoch, offset}) { this.#mark(epoch, 0, [offset]); }
  readUpTo({epoch, offset}) { this.#mark(epoch, offset, []); }

  async mute(kind, on) {
    const kinds = new Set(this.muted);
    kinds[on ? 'add' : 'delete'](kind);
    await this.client.call('inbox-mute', {kinds: [...kinds]});
  }

  // Tabs of one browser share what waits: whichever has a line says it for all.
  #look() {
    this.#waiting = JSON.parse(localStorage.getItem(this.place) ?? 'null') ?? {upto: 0, offsets: []};
  }

  #mark(epoch, upto, offsets) {
    this.#look();
    const before = this.#waiting.epoch === epoch ? this.#waiting : {upto: 0, offsets: []};
    this.#keep({epoch, upto: Math.max(before.upto, upto), offsets: [...new Set([...before.offsets, ...offsets])]});
    this.changed();
    this.#say();
  }

  #keep(waiting) {
    this.#waiting = waiting;
    localStorage.setItem(this.place, JSON.stringify(waiting));
  }

  // Says what waits, some at a time. To say it twice does no harm.
  async #say() {
    if (this.#saying) return;
    this.#saying = true;
    try {
      while (this.client.state === 'live' && (this.#waiting.upto || this.#waiting.offsets.length)) {
        const {epoch, upto, offsets} = this.#waiting, some = offsets.slice(0, 50);
        const now = await this.client.call('inbox-read', {epoch, upto, offsets: some});
        Object.assign(this, {epoch: now.epoch, upto: now.upto, also: new Set(now.also)});
        this.#look(); // there may be more by now
        const said = this.#waiting;
        this.#keep({epoch: said.epoch, upto: said.upto > upto ? said.upto : 0, offsets: said.offsets.filter((o) => !some.includes(o))});
      }
    } catch (error) {
      if (error.code === 'conflict' || error.code === 'bad_request') this.#keep({upto: 0, offsets: []}); // of an inbox that is no more
      else if (error.retryable || error.code === 'unknown') setTimeout(() => this.#say(), 1000);
      else throw error;
    } finally {
      this.#saying = false;
      this.changed();
    }
  }
}
