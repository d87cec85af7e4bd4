import type {Ringdown} from './client.js'
import {randomId} from './clock.js'
import type {RingdownError} from './errors.js'
import {aborted, unknown, type Ack, type Entry, type Keeper} from './outbox.js'
import type {Message} from './protocol.js'

export interface KeepOptions {
  /** Whose publications these are; without it whom the server names, so that before the first line of a page nothing is kept. */
  user?: string
  /** What was not sent for so many ms is not published any more, and settled with `aborted`. Default a day. */
  maxAge?: number
  /** What has become of a publication that a page before this one made. */
  settled?(message: Message, result: Ack | RingdownError): void
}

interface Kept {
  dedupe: string
  user: string
  session: string // the page that has it
  order: number
  at: number
  message: Message
  firstSent?: number
}

/**
 * Keeps what is published until it is acknowledged in IndexedDB, so that a page that is loaded
 * anew publishes it in its order, with the same `dedupe`. What was sent longer ago than the server
 * remembers such keys is not sent again: it is settled with `unknown`. At sign-out all of the user's is deleted.
 *
 * @returns how to end that
 */
export function keepOutbox(client: Ringdown<any>, {user, maxAge = 86_400_000, settled}: KeepOptions = {}): () => void {
  const db = new Database()
  const session = randomId()
  const over = new AbortController()
  const locks = (globalThis as any).navigator?.locks
  // By this lock other pages know that this one lives, and has its publications itself.
  locks?.request(lockOf(session), {signal: over.signal}, () => new Promise((done) => over.signal.addEventListener('abort', done))).catch(() => {})
  // The page that was in this tab before may not be quite gone: what it left is ours all the same.
  let last: string | null
  try {
    last = sessionStorage.getItem(store)
    sessionStorage.setItem(store, session)
  } catch {
    // There is none here.
  }

  const own = new Map<string, Kept>() // by dedupe
  const early = new Set<Entry>() // whose they are is not known yet
  let known: string | undefined // whom the server named
  let order = Date.now() * 1000
  const whose = () => user ?? client.user ?? known
  const keeper: Keeper = {
    put(e) {
      const {message, firstSent} = e
      const dedupe = message.dedupe!
      const of = whose()
      if (of === undefined) return void early.add(e)
      const kept = own.get(dedupe) ?? {dedupe, user: of, session, order: order++, at: Date.now(), message}
      own.set(dedupe, {...kept, firstSent})
      db.put({...kept, firstSent})
    },
    remove(e) {
      early.delete(e)
      if (own.delete(e.message.dedupe!)) db.remove(e.message.dedupe!)
    },
    async before() {
      known = client.user ?? ''
      for (const e of early) keeper.put(e)
      early.clear()
      // Another user's than those that were meant are nobody's business here.
      if (user !== undefined && user !== known) return
      await load(known)
    },
  }

  /** Takes over what pages have left that are gone. */
  const load = async (of: string) => {
    const held = new Set<string>(locks?.query ? (await locks.query()).held.map((l: {name: string}) => l.name) : [])
    const left = await db.take(of, session, (k) => k.session !== session && (k.session === last || !held.has(lockOf(k.session))))
    const now = Date.now()
    left.sort((a, b) => b.order - a.order) // each goes before those that are there
    for (const k of left) {
      const tell = (result: Ack | RingdownError) => settled?.(k.message, result)
      const old = k.firstSent === undefined ? now - k.at > maxAge : now - k.firstSent > client.outbox.window() - 5_000
      if (old) {
        db.remove(k.dedupe)
        tell((k.firstSent === undefined ? aborted : unknown)(k.message.channel))
        continue
      }
      own.set(k.dedupe, k)
      client.outbox.add(k.message, {}, {firstSent: k.firstSent}).then(tell, tell)
    }
  }
  client.outbox.keeper = keeper
  const off = client.on('state', ({state, reason}) => {
    const of = whose()
    if (state === 'closed' && reason === 'sign_out' && of !== undefined) db.clear(of)
  })
  return () => {
    off()
    over.abort()
    client.outbox.keeper = undefined
  }
}

const lockOf = (session: string) => `ringdown outbox ${session}`

const store = 'ringdown publications'

/** The database. What cannot be kept, in a private window say, is published all the same. */
class Database {
  private readonly opened = new Promise<IDBDatabase | undefined>((resolve) => {
    const none = () => resolve(undefined)
    try {
      const asked = indexedDB.open('ringdown', 1)
      asked.onupgradeneeded = () => asked.result.createObjectStore(store, {keyPath: 'dedupe'}).createIndex('user', 'user')
      asked.onsuccess = () => {
        // Another page may want a newer version, or the user no site data any more.
        asked.result.onversionchange = () => asked.result.close()
        resolve(asked.result)
      }
      asked.onerror = asked.onblocked = none
    } catch {
      none()
    }
  })

  put(k: Kept): void { void this.run((s) => s.put(k)) }
  remove(dedupe: string): void { void this.run((s) => s.delete(dedupe)) }
  clear(user: string): void { void this.each(user, (c) => c.delete()) }

  /** Gives those of user that are free to session, and answers with them. */
  async take(user: string, session: string, free: (k: Kept) => boolean): Promise<Kept[]> {
    const list: Kept[] = []
    await this.each(user, (c) => {
      if (!free(c.value)) return
      list.push({...c.value, session})
      c.update({...c.value, session})
    })
    return list
  }

  private each(user: string, fn: (c: IDBCursorWithValue) => void): Promise<void> {
    return this.run((s) => {
      const asked = s.index('user').openCursor(IDBKeyRange.only(user))
      asked.onsuccess = () => {
        const c = asked.result
        if (!c) return
        fn(c)
        c.continue()
      }
    })
  }

  /** Answers when it is done, or cannot be. */
  private async run(work: (s: IDBObjectStore) => void): Promise<void> {
    const db = await this.opened
    if (!db) return
    await new Promise<void>((resolve) => {
      try {
        const t = db.transaction(store, 'readwrite')
        t.oncomplete = t.onerror = t.onabort = () => resolve()
        work(t.objectStore(store))
      } catch {
        resolve()
      }
    })
  }
}
