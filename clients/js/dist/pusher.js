// What this package uses of pusher-js 8: its public methods, and `transport` to see frames as they come.
export {};
