//! Properties of the core: against naive models, and for every input.

mod frame;
mod hub;
mod wheel;
