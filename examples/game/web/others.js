// others.js: everybody else, drawn 100 ms in the past. Two ticks are known of that time
// nearly always, the one before it and the one after it, however unevenly they come.

export const past = 100; // ms
const keep = 1000; // ms of ticks
const adapt = 0.02; // how fast the estimate forgets a tick that came quickly

export class Others {
  frames = [];

  // hear takes a tick that came now. What is estimated is by how much this page's clock is
  // ahead of the server's, with the way of the quickest tick: any that took longer is late.
  hear(frame, now) {
    const ahead = now - frame.at;
    if (this.ahead === undefined || ahead < this.ahead || ahead > this.ahead + keep) this.ahead = ahead;
    else this.ahead += (ahead - this.ahead) * adapt;
    if (frame.world !== this.frames.at(-1)?.world) this.frames = []; // the server has begun anew
    this.frames.push({...frame, where: new Map(frame.players.map((p) => [p.user, p]))});
    while (this.frames[0].at < frame.at - keep) this.frames.shift();
  }

  // at is where everybody was, 100 ms before now.
  at(now) {
    const time = now - this.ahead - past;
    let next = this.frames.findIndex((f) => f.at > time);
    if (next < 0) next = this.frames.length - 1;
    const to = this.frames[next], from = this.frames[next - 1] ?? to;
    const share = to === from ? 1 : Math.min(1, Math.max(0, (time - from.at) / (to.at - from.at)));
    return (to?.players ?? []).map((p) => {
      const was = from.where.get(p.user) ?? p;
      return {user: p.user, x: was.x + (p.x - was.x) * share, y: was.y + (p.y - was.y) * share};
    });
  }
}
