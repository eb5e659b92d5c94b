//! What is printed.
#![allow(clippy::print_stdout, reason = "a bench says what it measured")]

use crate::{
    deltas::{Case, Deltas, Side},
    fan_out::FanOut,
    measure::Cost,
    options::Options,
    publishing::Publishing,
    traces::Traces,
};

pub(crate) fn fan_out(options: &Options, costs: &FanOut) {
    let Options { sockets, payload_bytes, in_flight, .. } = options;
    println!("\nDeliveries to {sockets} sockets of one channel, {payload_bytes} bytes of data:");
    println!("{:34}{:>14}{:>10}{:>14}", "", "CPU us/delivery", "x floor", "wall us/event");
    let line = |title: &str, cost: &Cost, floor: &Cost| {
        let per_delivery = cost.cpu_us() / f64::from(*sockets);
        let ratio = cost.cpu_us() / floor.cpu_us();
        let wall = cost.wall_us();
        println!("{title:34}{per_delivery:>14.3}{ratio:>10.2}{wall:>14.0}");
    };
    line("floor, a write per event", &costs.floor_single, &costs.floor_single);
    line("node, 1 publish in flight", &costs.node_single, &costs.floor_single);
    let title = format!("floor, {in_flight} frames per writev");
    line(&title, &costs.floor_coalesced, &costs.floor_coalesced);
    let title = format!("node, {in_flight} publishes in flight");
    line(&title, &costs.node_in_flight, &costs.floor_coalesced);
}

pub(crate) fn deltas(options: &Options, measured: &[Deltas]) {
    let Options { sockets, .. } = options;
    println!("\nDeltas to {sockets} sockets of one channel, beside full frames of the same size:");
    println!("{:34}{:>14}{:>14}{:>10}", "", "bytes/frame", "CPU us/deliv.", "x full");
    for Deltas { case: Case { format, states }, delta, full, ratio } in measured {
        let line = |title: &str, Side { cost, bytes }: &Side, ratio: f64| {
            let per_delivery = cost.cpu_us() / f64::from(*sockets);
            println!("{title:34}{bytes:>14.1}{per_delivery:>14.3}{ratio:>10.3}");
        };
        let states = format!("{states} state{}", if *states == 1 { "" } else { "s" });
        line(&format!("{format}, {states}"), delta, *ratio);
        line("  full frames", full, 1.0);
    }
}

pub(crate) fn publishing(costs: &Publishing) {
    println!("\nPublishes with one subscriber, all planes:");
    println!("{:34}{:>14}{:>14}", "", "CPU us/publish", "publishes/s");
    for (title, cost) in &costs.0 {
        let per_second = 1e6 / cost.wall_us();
        println!("{title:34}{:>14.1}{per_second:>14.0}", cost.cpu_us());
    }
}

pub(crate) fn traces(measured: &Traces) {
    let Traces { off, off_again, unsampled, spans } = measured;
    println!("\nPublishes over all planes, by tracing:");
    println!("{:34}{:>14}{:>10}", "", "CPU us/publish", "x off");
    let line = |title: &str, cost: &Cost| {
        println!("{title:34}{:>14.2}{:>10.4}", cost.cpu_us(), cost.cpu_us() / off.cpu_us());
    };
    line("off", off);
    line("off, another server", off_again);
    line("a collector, nothing sampled", unsampled);
    let spans_us = spans.as_secs_f64() * 1e6;
    let share = 100.0 * spans_us / off.cpu_us();
    println!("{:34}{spans_us:>14.4}   {share:.3} % of a publish", "its spans alone, off");
}

pub(crate) fn idle(options: &Options, kib_per_socket: f64) {
    println!("\nMemory of a subscribed socket that does nothing, at {}:", options.idle_sockets);
    println!("{:34}{kib_per_socket:>10.2} KiB", "");
}
