// fleet.js: which vehicles there are and where, out of what the channels say.
// It knows neither the page nor the clock: whoever calls hands in the time, in
// milliseconds.
//
// The rules that keep ghosts out:
//   - each region has a table of its own, by key; a message that is not newer than
//     what the table has, by its offset, is none
//   - a snapshot is the whole truth: what it does not name is gone
//   - null deletes, in its own region only: a truck that crossed a border may be told
//     of in the new region before the old one has let it go

const silence = 5000; // a vehicle that was not heard of for longer is not where it is drawn
const forgotten = 3_600_000; // and after this the channel has forgotten it too
const overshoot = 1500; // how long a vehicle goes on as it did when no report comes
const belated = 3000; // a report that is older than this is not worth a journey there
const leap = 0.15; // degrees in one report: it did not drive there
const fade = 500;

export class Fleet {
  regions = new Map(); // id → {held: key → {offset, time, data}, deleted: key → offset, named: keys of a snapshot under way}
  vehicles = new Map(); // key → Vehicle
  leaving = new Map(); // key → Vehicle that is being faded out; no longer one of the fleet
  period = 1000; // ms between two reports of a vehicle
  ahead = 0; // how far this clock is ahead of the server's
  still = false; // no gliding

  follow(region) {
    this.regions.set(region, {held: new Map(), deleted: new Map()});
  }

  drop(region, now) {
    for (const key of [...this.regions.get(region)?.held.keys() ?? []]) this.#take(region, key, now);
    this.regions.delete(region);
  }

  // From here on offsets may begin anew, and a snapshot follows.
  restart(region) {
    const r = this.regions.get(region);
    for (const entry of r.held.values()) entry.offset = 0;
    r.deleted.clear();
    r.named = new Set();
  }

  snapshot(region, {items, more}, now) {
    const r = this.regions.get(region);
    r.named ??= new Set();
    for (const item of items) this.message(region, item, now);
    if (more) return;
    for (const key of [...r.held.keys()]) if (!r.named.has(key)) this.#take(region, key, now);
    r.named = undefined;
  }

  message(region, {key, offset, time, data}, now) {
    const r = this.regions.get(region);
    if (!r || !key) return;
    r.named?.add(key);
    if (offset <= (r.held.get(key)?.offset ?? r.deleted.get(key))) return;
    if (data === null) {
      r.deleted.set(key, offset);
      return this.#take(region, key, now);
    }
    const entry = {region, offset, time, data};
    r.held.set(key, entry);
    const vehicle = this.vehicles.get(key);
    if (vehicle && vehicle.region !== region && vehicle.time > time) return;
    this.#show(key, entry, now);
  }

  #show(key, entry, now) {
    const vehicle = this.vehicles.get(key) ?? this.leaving.get(key) ?? new Vehicle(key);
    this.leaving.delete(key);
    this.vehicles.set(key, vehicle);
    vehicle.report(entry, now, this);
  }

  #take(region, key, now) {
    this.regions.get(region).held.delete(key);
    const vehicle = this.vehicles.get(key);
    if (vehicle?.region !== region) return;
    let newest;
    for (const {held} of this.regions.values()) {
      const entry = held.get(key);
      if (entry && !(entry.time <= newest?.time)) newest = entry;
    }
    if (newest) return this.#show(key, newest, now);
    this.vehicles.delete(key);
    vehicle.left = now;
    this.leaving.set(key, vehicle);
  }

  // What time alone changes.
  tidy(now) {
    for (const [key, v] of this.leaving) if (now - v.left > fade) this.leaving.delete(key);
    for (const v of this.vehicles.values()) if (now - v.heard > forgotten) this.#take(v.region, v.key, now);
  }

  stale(vehicle, now) {
    return now - vehicle.heard > silence + (this.period > 1000 ? this.period : 0);
  }

  count(now) {
    const n = {driving: 0, loading: 0, resting: 0, broken: 0, silent: 0, regions: {}};
    for (const v of this.vehicles.values()) {
      n[this.stale(v, now) ? 'silent' : v.data.status]++;
      n.regions[v.region] = (n.regions[v.region] ?? 0) + 1;
    }
    return n;
  }
}

// A vehicle glides from where it was drawn to where it reported to be, in the
// time until the next report, and a little further if that is late.
export class Vehicle {
  trail = []; // of [lon, lat]; null where the line is broken

  constructor(key) {
    this.key = key;
  }

  report({region, time, data}, now, fleet) {
    const heard = now - Math.max(0, now - fleet.ahead - time);
    const before = this.data && this.at(now);
    const glides = before && !fleet.still && !fleet.stale(this, now) && this.left === undefined && now - heard < belated
      && Math.hypot(before.lon - data.lon, before.lat - data.lat) < leap * Math.max(1, fleet.period / 1000);
    if (this.data && !glides) this.trail.push(null);
    Object.assign(this, {
      region, time, data, heard, left: undefined,
      from: glides ? before : {lon: data.lon, lat: data.lat, heading: data.heading},
      since: now, lasts: fleet.period,
    });
    const last = this.trail.at(-1);
    if (!last || last[0] !== data.lon || last[1] !== data.lat) this.trail.push([data.lon, data.lat]);
    if (this.trail.length > 120) this.trail.shift();
  }

  at(now) {
    const {from, data} = this;
    const most = data.status === 'driving' ? 1 + overshoot / this.lasts : 1;
    const share = Math.min(Math.max((now - this.since) / this.lasts, 0), most);
    const turn = ((data.heading - from.heading + 540) % 360) - 180;
    return {
      lon: from.lon + (data.lon - from.lon) * share,
      lat: from.lat + (data.lat - from.lat) * share,
      heading: (from.heading + turn * Math.min(share * 2, 1) + 360) % 360,
    };
  }

  // 1: there; less: coming or going.
  presence(now) {
    return this.left === undefined ? 1 : Math.max(0, 1 - (now - this.left) / fade);
  }
}
