// fleet.js: which vehicles there are and where, out of what the channels say.
// It knows neither the page nor the clock: whoever calls hands in the time, in
// milliseconds.
//
// Each region has a channel of its own, whose state has the last report of each truck
// there; the client keeps it right. A truck that crosses a border may be told of in the
// new region before the old one has let it go: the newest of its reports counts.

const silence = 5000; // a vehicle that was not heard of for longer is not where it is drawn
const forgotten = 3_600_000; // and after this the channel has forgotten it too
const overshoot = 1500; // how long a vehicle goes on as it did when no report comes
const belated = 3000; // a report that is older than this is not worth a journey there
const leap = 0.15; // degrees in one report: it did not drive there
const fade = 500;

export class Fleet {
  regions = new Map(); // id → state of its channel, with the message of each key
  vehicles = new Map(); // key → Vehicle
  leaving = new Map(); // key → Vehicle that is being faded out; no longer one of the fleet
  period = 1000; // ms between two reports of a vehicle
  ahead = Infinity; // how far this clock is ahead of theirs, at most: no report comes before it was made
  still = false; // no gliding

  follow(region, state, now) {
    this.regions.set(region, state);
    if (state.ready) this.change(region, {}, now);
  }

  drop(region, now) {
    this.regions.delete(region);
    for (const v of this.vehicles.values()) if (v.region === region) this.#take(v, now);
  }

  // change takes what a state says of itself: a key with a message, whose data is null
  // when it was deleted, or no key when all of it is another.
  change(region, {key, message}, now) {
    const state = this.regions.get(region);
    if (!state) return;
    if (message?.data) return this.#report(region, message, now);
    if (key === undefined) for (const k of state.keys()) this.#report(region, state.message(k), now);
    for (const v of this.vehicles.values()) if (v.region === region && !state.has(v.key)) this.#take(v, now);
  }

  #report(region, message, now) {
    this.ahead = Math.min(this.ahead, now - message.time);
    const {key} = message, known = this.vehicles.get(key);
    if (known && known.region !== region && known.time > message.time) return;
    const vehicle = known ?? this.leaving.get(key) ?? new Vehicle(key);
    this.leaving.delete(key);
    this.vehicles.set(key, vehicle);
    vehicle.report(region, message, now, this);
  }

  // Its region has let it go. If another has it, that is where it is.
  #take(vehicle, now) {
    const {key} = vehicle;
    let region, newest;
    for (const [id, state] of this.regions) {
      const message = state.ready && state.message(key);
      if (message && !(message.time <= newest?.time)) [region, newest] = [id, message];
    }
    if (newest) return vehicle.report(region, newest, now, this);
    this.vehicles.delete(key);
    vehicle.left = now;
    this.leaving.set(key, vehicle);
  }

  // What time alone changes.
  tidy(now) {
    for (const [key, v] of this.leaving) if (now - v.left > fade) this.leaving.delete(key);
    for (const v of this.vehicles.values()) if (now - v.heard > forgotten) this.vehicles.delete(v.key);
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

  report(region, {time, data}, now, fleet) {
    const heard = Math.min(now, time + fleet.ahead);
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
