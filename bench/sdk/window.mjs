// What the libraries need of a browser, and a WebSocket whose server is a script in the
// same program: nothing is weighed but the library. It is loaded before them.

const define = (name, value) => Object.defineProperty(globalThis, name, {value, configurable: true, writable: true})

/** Every WebSocket that was opened. */
export const sockets = []

/** Called with each socket and each text that a library sends on it. */
export const script = {opened: (socket) => {}, sent: (socket, text) => {}}

class ScriptedSocket extends EventTarget {
  static CONNECTING = 0
  static OPEN = 1
  static CLOSING = 2
  static CLOSED = 3
  CONNECTING = 0
  OPEN = 1
  CLOSING = 2
  CLOSED = 3
  readyState = 0
  bufferedAmount = 0
  extensions = ''
  binaryType = 'blob'
  onopen = null
  onmessage = null
  onclose = null
  onerror = null
  listeners = new Map()

  constructor(url, protocols = []) {
    super()
    this.url = url
    this.protocol = [protocols].flat()[0] ?? ''
    sockets.push(this)
    setTimeout(() => {
      this.readyState = 1
      this.tell('open', {type: 'open', target: this})
      script.opened(this)
    })
  }
  addEventListener(type, fn) { this.listeners.set(type, [...(this.listeners.get(type) ?? []), fn]) }
  removeEventListener(type, fn) { this.listeners.set(type, (this.listeners.get(type) ?? []).filter((f) => f !== fn)) }
  tell(type, event) {
    this['on' + type]?.(event)
    for (const fn of this.listeners.get(type) ?? []) (fn.handleEvent ?? fn).call(this, event)
  }
  send(text) { queueMicrotask(() => script.sent(this, text)) }
  close(code = 1000) {
    if (this.readyState === 3) return
    this.readyState = 3
    setTimeout(() => this.tell('close', {type: 'close', code, reason: '', wasClean: true}))
  }
  /** Hands the library one text, as the browser would. */
  deliver(text) { this.tell('message', {type: 'message', data: text, target: this}) }
}

const nothing = () => {}
define('window', globalThis)
define('self', globalThis)
define('WebSocket', ScriptedSocket)
define('location', {protocol: 'http:', hostname: '127.0.0.1', port: '8000', host: '127.0.0.1:8000', href: 'http://127.0.0.1:8000/', origin: 'http://127.0.0.1:8000', pathname: '/'})
define('navigator', {onLine: true, userAgent: 'bench', language: 'en'})
define('addEventListener', nothing)
define('removeEventListener', nothing)
define('document', {
  body: {}, readyState: 'complete', visibilityState: 'visible', hidden: false, addEventListener: nothing, removeEventListener: nothing,
  createElement: () => ({setAttribute: nothing}), getElementsByTagName: () => [{appendChild: nothing}], location: globalThis.location,
})
