// commands.js: the life of each command that a device was given, out of two logs: that of
// the commands and that of the replies. Whoever reads the two logs comes to the same end,
// and to one alone:
//
//   - of several replies to an id the first holds
//   - a reply that was stored later than `grace` after the deadline is none
//   - without a reply it is silent, and that is said only when the server was asked after
//     that time, so no reply that counts can come any more

export const grace = 2_000; // ms; also what clocks may differ by

export class Commands {
  all = new Map(); // id → {id, verb, value, deadline, from, sent, stored, refusal, reply, silent}

  // send notes a command that is on its way.
  send(command, from, now) {
    this.all.set(command.id, {...command, from, sent: now});
  }

  // acked notes that the server has stored it.
  acked(id) {
    const c = this.all.get(id);
    if (c) c.stored ??= true;
  }

  // rejected notes that the server did not take it. What is in the log was taken all the
  // same: an answer can be lost, and asking again be refused.
  rejected(id, refusal) {
    const c = this.all.get(id);
    if (c) c.refusal = refusal;
  }

  command({data, from, time}) {
    const c = this.all.get(data.id);
    if (c?.stored?.time) return; // the same id again: the device does the first
    this.all.set(data.id, {...c, ...data, from, sent: c?.sent ?? time, stored: {time}});
  }

  reply({data, time}) {
    const c = this.all.get(data.id);
    if (c && !c.reply && time <= c.deadline + grace) c.reply = data;
  }

  // fate is how far a command has come: sending, stored, or an end.
  fate(c) {
    if (c.reply) return c.reply.outcome;
    if (c.silent) return 'silent';
    if (c.stored) return 'stored';
    return c.refusal ? 'rejected' : 'sending';
  }

  isOpen(c) {
    return ['sending', 'stored'].includes(this.fate(c));
  }

  // due are those that nobody need wait for any more at a time of the server's.
  due(now) {
    return [...this.all.values()].filter((c) => this.isOpen(c) && now > c.deadline + grace);
  }

  get newestFirst() {
    return [...this.all.values()].sort((a, b) => (b.stored?.time ?? b.sent) - (a.stored?.time ?? a.sent));
  }
}
