// Everything in one module, for pages without a build.
export * from './index.js'
export {keepOutbox, type KeepOptions} from './keep.js'
export {protobuf} from './protobuf.js'
export {sync, type Loaded, type SyncOptions} from './sync.js'
export {tabs, type TabOptions} from './tabs.js'
