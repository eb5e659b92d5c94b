//! What happens in an arena while it is broken: who publishes, who listens, and who judges.
//!
//! A [`run::Run`] starts an [`arena`](crate::arena), [`publisher`]s and [`listener`]s. What they have
//! seen becomes a [`history::History`]; [`verdicts`] are functions of it, and one [`artifact`] per run
//! keeps them. Nothing here asks the programs whether they did well.

pub mod artifact;
pub mod history;
pub mod intruder;
pub mod lane;
pub mod listener;
pub mod measures;
pub mod publisher;
pub mod run;
pub mod scene;
pub mod verdicts;
