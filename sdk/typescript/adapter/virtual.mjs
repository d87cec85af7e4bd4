// Time and lines of which the cases of spec/client decide. See spec/client/README.md.

export class VirtualClock {
  time = 1_790_000_000_000
  timers = new Set()
  constructor(chance) { this.chance = chance }
  now() { return this.time }
  random() { return this.chance }
  after(ms, fn) {
    const timer = {at: this.time + ms, order: ++this.order, fn}
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }
  order = 0
  /** Lets time go by; what each timer sets off is settled before the next. */
  async advance(ms, settle) {
    const end = this.time + ms
    for (;;) {
      let next
      for (const t of this.timers) if (t.at <= end && (!next || t.at < next.at || (t.at === next.at && t.order < next.order))) next = t
      if (!next) break
      this.timers.delete(next)
      this.time = Math.max(this.time, next.at)
      next.fn()
      await settle()
    }
    this.time = end
  }
  /** As in sleep: timers wait as long as before, and find that the clock has jumped. */
  jump(ms) {
    this.time += ms
    for (const t of this.timers) t.at += ms
  }
}

/** Lines that tell what they are asked, and do what they are told. */
export class VirtualLines {
  lines = []
  constructor(tell) { this.tell = tell }
  transport(name) {
    return {
      name,
      open: (o, events) => {
        const line = this.lines.push({events, over: false})
        const url = new URL(o.url + {websocket: '/v1/ws', sse: '/v1/sse', poll: '/v1/poll'}[name])
        const query = {...o.query, ...(name === 'websocket' ? {heartbeat: 'message'} : {})}
        for (const [k, v] of Object.entries(query)) url.searchParams.set(k, v)
        this.tell({event: 'line', line, transport: name, url: String(url), token: o.token ?? null, ...(name === 'websocket' ? {} : {channels: o.channels.map(({channel, since, data}) => ({channel, ...(since ? {since} : {}), ...data}))})})
        const entry = this.lines[line - 1]
        return {
          send: (m) => void (entry.over || this.tell({event: 'send', line, message: m})),
          close: (code = 1000) => {
            if (entry.over) return
            entry.over = true
            this.tell({event: 'drop', line, code})
          },
        }
      },
    }
  }
  /** The events of a line that is not over, to tell it something. */
  of({line}) {
    const entry = this.lines[(line ?? this.lines.length) - 1]
    if (!entry) throw new Error(`there is no line ${line}`)
    return entry
  }
  end(command, end) {
    const entry = this.of(command)
    if (entry.over) return
    entry.over = true
    entry.events.ended(end)
  }
}
