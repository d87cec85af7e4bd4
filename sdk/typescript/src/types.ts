/** What a channel is declared to have. `ringdown types --lang ts` writes these from a configuration. */
export interface ChannelType {
  /** Data by event. */
  events: Record<string, any>
  /** What a state channel keeps for a key. */
  state?: any
  /** What a member says of itself. */
  presence?: any
}

/** A declared API: channels by name or pattern (`chat:{room}`), and calls. */
export interface Api {
  channels: Record<string, ChannelType>
  calls: Record<string, {data: any; result: any}>
}

/** An API of which nothing is known: every name is good, and data is anything. */
export interface AnyApi extends Api {
  channels: {[name: string]: {events: {[event: string]: any}; state: any; presence: any}}
  calls: {[event: string]: {data: any; result: any}}
}

type Key<T> = keyof T & string

/** The names that a pattern stands for. */
export type NameOf<P extends string> = P extends `${infer A}{${string}}${infer B}` ? `${A}${string}${NameOf<B>}` : P

/** Every channel name of an API. */
export type ChannelName<A extends Api> = NameOf<Key<A['channels']>>

/** What the channel of a name is declared as. */
export type ChannelOf<A extends Api, N extends string> = A['channels'][{[P in Key<A['channels']>]: N extends NameOf<P> ? P : never}[Key<A['channels']>]]

export type EventName<C extends ChannelType> = Key<C['events']>
export type StateOf<C extends ChannelType> = C extends {state: infer S} ? S : never
export type MemberOf<C extends ChannelType> = C extends {presence: infer M} ? M : any
