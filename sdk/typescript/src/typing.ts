import type {Clock} from './clock.js'
import {Handlers} from './events.js'
import type {Message} from './protocol.js'

const again = 3_000 // ms between two of who goes on
const over = 5_000 // ms after the last of who says no more

/** Who types on a channel that declares the ephemeral event `typing`. Users are told apart by `from`. */
export class Typing {
  private readonly until = new Map<string, () => void>()
  private said?: number // when this client said so last
  private readonly handlers: Handlers<{change: ReadonlySet<string>}>

  constructor(
    private readonly clock: Clock,
    private readonly say: (active: boolean) => void,
    private readonly hold: () => () => void,
    thrown: (cause: unknown) => void,
  ) {
    this.handlers = new Handlers(thrown)
  }

  /** The ids of the users who type now. */
  get users(): ReadonlySet<string> { return new Set(this.until.keys()) }

  on(fn: (users: ReadonlySet<string>) => void, {signal}: {signal?: AbortSignal} = {}): () => void {
    return this.handlers.on('change', fn, signal, this.hold())
  }

  /** To be called at each key: it is told at most every 3 s. */
  active(): void {
    const now = this.clock.now()
    if (this.said !== undefined && now - this.said < again) return
    this.said = now
    this.say(true)
  }

  /** To be called when the text is sent or taken back; otherwise it is over after 5 s. */
  stop(): void {
    if (this.said === undefined) return
    this.said = undefined
    this.say(false)
  }

  /** @internal */
  told(m: Message): void {
    const who = m.from
    if (who === undefined) return
    const known = this.until.get(who)
    known?.()
    this.until.delete(who)
    const active = m.data?.active === true
    if (active) {
      this.until.set(who, this.clock.after(over, () => {
        this.until.delete(who)
        this.handlers.emit('change', this.users)
      }))
    }
    if (active !== (known !== undefined)) this.handlers.emit('change', this.users)
  }

  /** @internal */
  clear(): void {
    for (const stop of this.until.values()) stop()
    this.until.clear()
  }
}
