// fleet.js: which devices there are and how each of them is, out of what the channels
// say. It knows neither the page nor the clock: whoever calls hands in the time, in ms.

const silence = 7_000; // a device that was not heard of for longer is silent: it reports every 2 s
const kept = 60; // reports of a sparkline

export class Fleet {
  devices = new Map(); // id → device, in the order of their names
  looked = 0;

  device(id) {
    let d = this.devices.get(id);
    if (!d) {
      d = {id, trail: [], heard: undefined};
      this.devices.set(id, d);
      this.devices = new Map([...this.devices].sort(([a], [b]) => a.localeCompare(b, 'en', {numeric: true})));
    }
    return d;
  }

  report(id, report, now) {
    const d = this.device(id);
    Object.assign(d, {report, heard: now});
    d.trail.push(report.temperature);
    if (d.trail.length > kept) d.trail.shift();
  }

  // A snapshot says what was measured last, and not when: each device has the time of
  // silence to be heard of.
  snapshot(reports, now) {
    for (const d of this.devices.values()) if (!reports.has(d.id)) d.report = undefined;
    for (const [id, report] of reports) Object.assign(this.device(id), {report, heard: now});
    this.tidy();
  }

  statuses(statuses) {
    for (const d of this.devices.values()) d.status = statuses.get(d.id);
    for (const [id, status] of statuses) this.device(id).status = status;
    this.tidy();
  }

  // A device of which nobody knows anything any more was taken out of the fleet.
  tidy() {
    for (const d of this.devices.values()) if (!d.report && !d.status) this.devices.delete(d.id);
  }

  // look says that the page is awake at now. When it was not, or had no line, the silence
  // was its own.
  look(now, live) {
    const deaf = !live || now - this.looked > 3_000;
    for (const d of this.devices.values()) if (deaf || d.heard === undefined) d.heard = now;
    this.looked = now;
  }

  // online, silent (it should be there, and says nothing) or offline (it said so, or its will did).
  state(d, now) {
    if (d.status?.status !== 'online') return 'offline';
    return now - (d.heard ?? now) > silence ? 'silent' : 'online';
  }
}
