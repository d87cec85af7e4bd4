// What tabs of one browser have in common: locks and channels.

/** Locks as in the Web Locks API: one holder at a time, others wait, and one can be stolen. */
export class FakeLocks {
  held = new Map() // name: {give(cause)}
  waiting = new Map() // name: list
  request(name, options, fn) {
    if (typeof options === 'function') [fn, options] = [options, {}]
    return new Promise((resolve, reject) => {
      const asked = {fn, resolve, reject}
      const list = this.waiting.get(name) ?? []
      this.waiting.set(name, list)
      if (options.steal) {
        const holder = this.held.get(name)
        this.held.delete(name)
        holder?.reject(new DOMException('stolen', 'AbortError'))
        list.unshift(asked)
      } else {
        list.push(asked)
      }
      options.signal?.addEventListener('abort', () => {
        const i = list.indexOf(asked)
        if (i >= 0) list.splice(i, 1)
        if (i >= 0) reject(new DOMException('aborted', 'AbortError'))
      })
      if (options.signal?.aborted) return reject(new DOMException('aborted', 'AbortError'))
      queueMicrotask(() => this.next(name))
    })
  }
  next(name) {
    const list = this.waiting.get(name)
    if (this.held.has(name) || !list?.length) return
    const asked = list.shift()
    this.held.set(name, asked)
    const done = (settle) => (value) => {
      if (this.held.get(name) === asked) this.held.delete(name)
      settle(value)
      this.next(name)
    }
    Promise.resolve().then(() => asked.fn({name})).then(done(asked.resolve), done(asked.reject))
  }
}

/** A browser whose tabs hear each other. */
export class FakeBrowser {
  locks = new FakeLocks()
  /** A tab that can be frozen, thawed, and gone without a word. */
  tab() {
    const channels = []
    const ends = new AbortController()
    return {
      channel: (name) => channels[channels.push(this.channel(name)) - 1],
      locks: {
        request: (name, options, fn) => {
          if (typeof options === 'function') [fn, options] = [options, {}]
          // What it holds, and waits for, ends with it.
          const signal = AbortSignal.any([ends.signal, ...(options.signal ? [options.signal] : [])])
          const held = () => Promise.race([Promise.resolve(fn()), new Promise((done) => ends.signal.addEventListener('abort', done))])
          return this.locks.request(name, {...options, signal: options.steal ? undefined : signal}, held)
        },
      },
      freeze: () => channels.forEach((c) => { c.frozen = true }),
      thaw: () => channels.forEach((c) => c.thaw()),
      crash: () => {
        channels.forEach((c) => c.close())
        ends.abort()
      },
    }
  }
  channels = new Set()
  channel = (name) => {
    const all = this.channels
    const one = {
      name, frozen: false, queue: [], onmessage: null,
      postMessage(data) {
        const text = structuredClone(data)
        for (const other of all) if (other !== one && other.name === name) queueMicrotask(() => other.hear(text))
      },
      hear(data) {
        if (one.frozen) one.queue.push(data)
        else if (all.has(one)) one.onmessage?.({data: structuredClone(data)})
      },
      thaw() {
        one.frozen = false
        for (const data of one.queue.splice(0)) one.hear(data)
      },
      close: () => all.delete(one),
    }
    all.add(one)
    return one
  }
}
