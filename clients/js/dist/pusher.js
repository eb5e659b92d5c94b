// What this package uses of pusher-js 8: its public methods, and of the connection below them `emit`.
export {};
