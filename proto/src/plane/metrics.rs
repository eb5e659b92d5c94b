//! What every plane measures alike, and shapes for what each measures on its own.
//!
//! * [`apps`]: counters per app, of a bounded number of apps.
//! * [`age`]: since when the settings in force are known to be current.
//! * [`process`]: processor time, memory and descriptors of the process.
//! * [`reading`]: numbers that are read where they are when somebody looks, so that nothing is counted twice.

pub mod age;
pub mod apps;
pub mod process;
pub mod reading;

use clap::Args;

pub use age::Age;
pub use apps::AppCounters;

/// Bounds of histograms for what takes from a quarter of a millisecond to five seconds.
pub const SECONDS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Options of each program.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Apps that have metrics of their own; what further apps do is counted as that of app="other"
    #[arg(long, default_value_t = APPS_MAX, value_name = "APPS")]
    pub metrics_apps_max: usize,
}

/// Apps with metrics of their own, unless the operator wants another number.
pub const APPS_MAX: usize = 100;
