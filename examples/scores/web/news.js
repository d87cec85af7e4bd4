// news.js: the news of one league, each once, and which of them somebody has not seen.
//
// A piece of news has been seen when the page was on the screen, with its line open, as it
// came. What came otherwise was missed: with the line that came back, while the page was
// hidden, or since the last visit.

const most = 30; // pieces that are loaded, and shown

export class News {
  items = new Map(); // offset → {offset, league, event, data, time, from, missed}
  seen; // {offset}: all up to it has been seen
  following = false; // what comes now comes as it happens

  // changed() is called after every change. storage keeps what was seen, for the next visit.
  constructor(client, league, {changed, storage = localStorage}) {
    Object.assign(this, {league, changed, storage, channel: client.channel(`scores:${league}:news`)});
    this.seen = JSON.parse(storage.getItem(this.place) ?? 'null') ?? undefined;
  }

  get place() { return `scores.seen.${this.league}`; }

  open() {
    this.ends = new AbortController();
    const {signal} = this.ends, {channel} = this;
    channel.when('subscribed', ({recovered}) => recovered ? 0 : this.load(), {signal});
    channel.when('recovered', () => this.catchUp(), {signal});
    channel.when('gap', ({reason}) => {
      if (reason === 'epoch') this.items.clear(); // the server has lost its news, and counts anew
      this.load();
    }, {signal});
    channel.on('*', (_, m) => this.hear(m), {signal});
  }

  close() {
    this.ends?.abort();
    this.following = false;
  }

  lost() { this.following = false; }

  // load has the newest pieces, where the line could not go on from the last one.
  async load() {
    this.following = false;
    const turn = this.turn = {};
    try {
      const {messages} = await this.channel.page({limit: most});
      if (turn !== this.turn) return;
      const newest = messages.at(-1)?.offset ?? 0;
      if (this.seen?.offset > newest) this.seen = undefined; // what was seen is of an earlier count
      messages.forEach((m) => this.put(m));
      this.catchUp();
    } catch {
      // The line is gone; the next one asks again.
    }
  }

  catchUp() {
    this.following = true;
    if (this.seen === undefined) this.allSeen(); // a first visit
    this.changed();
  }

  hear(m) {
    if (m.offset === undefined) return;
    const watched = this.following && !document.hidden && !this.missed.length;
    this.put(m);
    if (watched) this.allSeen();
    this.changed();
  }

  put(m) {
    if (this.items.has(m.offset)) return;
    this.items.set(m.offset, {offset: m.offset, league: this.league, event: m.type, data: m.data, time: m.time, from: m.from});
    const old = [...this.items.keys()].sort((a, b) => a - b).slice(0, -2 * most);
    old.forEach((offset) => this.items.delete(offset));
  }

  get list() { return [...this.items.values()]; }
  get missed() { return this.seen === undefined ? [] : this.list.filter((n) => n.offset > this.seen.offset); }
  isMissed(n) { return this.seen !== undefined && n.offset > this.seen.offset; }

  allSeen() {
    this.seen = {offset: Math.max(0, ...this.items.keys())};
    this.storage.setItem(this.place, JSON.stringify(this.seen));
  }
}
