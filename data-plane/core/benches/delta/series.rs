//! Three deterministic series of payloads, as applications publish them.

/// A series by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) event: &'static str,
    /// The dotted path of the conflation key.
    pub(crate) conflation_key: Option<&'static str>,
    payload: fn(&mut World, u64) -> String,
}

/// All series.
pub(crate) const ALL: [Series; 3] = [
    Series {
        name: "order book, 20 symbols",
        channel: "market",
        event: "book",
        conflation_key: Some("symbol"),
        payload: order_book,
    },
    Series {
        name: "GPS positions",
        channel: "fleet-7",
        event: "position",
        conflation_key: None,
        payload: position,
    },
    Series {
        name: "telemetry",
        channel: "sensors",
        event: "reading",
        conflation_key: None,
        payload: telemetry,
    },
];

impl Series {
    /// The data of the first events; always the same.
    pub(crate) fn payloads(&self, count: u64) -> Vec<String> {
        let mut world = World::new();
        (0..count).map(|n| (self.payload)(&mut world, n)).collect()
    }
}

/// What the next payload depends on.
struct World {
    random: Random,
    books: [Book; 20],
    readings: [u64; 4],
}

/// How far a reading rises above its least value.
const READING_MAX: u64 = 20;

#[derive(Clone, Copy)]
struct Book {
    middle: u64,
    sizes: [[u64; 5]; 2],
}

impl World {
    fn new() -> Self {
        let mut random = Random(0x00C0_FFEE);
        let mut book = || Book {
            middle: 100_000 + random.below(9_000_000),
            sizes: [[(); 5]; 2].map(|side| side.map(|()| random.below(9_000_000))),
        };
        let books = [(); 20].map(|()| book());
        Self { random, books, readings: [READING_MAX / 2; 4] }
    }
}

/// Ten levels of one symbol's book; symbols take random turns. With each tick one to three levels
/// get another size, and with every tenth one the price moves.
fn order_book(world: &mut World, n: u64) -> String {
    const SYMBOLS: [&str; 20] = [
        "BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOT-USD", "LTC-USD", "BCH-USD",
        "LINK-USD", "UNI-USD", "AVAX-USD", "ATOM-USD", "XLM-USD", "ALGO-USD", "FIL-USD",
        "NEAR-USD", "APT-USD", "ARB-USD", "OP-USD", "INJ-USD",
    ];
    let World { random, books, .. } = world;
    let symbol = random.below(20) as usize;
    let book = &mut books[symbol];
    for _ in 0..=random.below(3) {
        let (side, level) = (random.below(2) as usize, random.below(5) as usize);
        book.sizes[side][level] = random.below(9_000_000);
    }
    if random.below(10) == 0 {
        book.middle += 25;
    }
    let side = |side: usize| {
        let level = |level: u64| {
            let away = 50 + 25 * level;
            let price = if side == 0 { book.middle - away } else { book.middle + away };
            let size = book.sizes[side][level as usize];
            let (whole, cents, lots, rest) =
                (price / 100, price % 100, size / 10_000, size % 10_000);
            format!(r#"["{whole}.{cents:02}","{lots}.{rest:04}"]"#)
        };
        (0..5).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"symbol":"{}","seq":{},"bids":[{}],"asks":[{}],"ts":{}}}"#,
        SYMBOLS[symbol],
        9_000_000 + n,
        side(0),
        side(1),
        1_760_000_000_000 + n * 13
    )
}

/// One vehicle that drives with changing speed and heading.
fn position(world: &mut World, n: u64) -> String {
    let random = &mut world.random;
    let (latitude, longitude) = (52_520_008 + n * 23 % 90_000, 13_404_954 + n * 37 % 90_000);
    let (speed, heading) = (40 + random.below(300), (n / 5 * 7 + random.below(4)) % 360);
    format!(
        r#"{{"vehicle":"b7f3c1d2-9f51-4f7e-8a55-0d6f6f0f4c11","driver":"Ann Example","route":"U7 Rathaus Spandau","status":"in_service","position":{{"lat":{}.{:06},"lon":{}.{:06},"accuracy_m":4.5,"source":"gps"}},"speed_kmh":{}.{},"heading":{heading},"odometer_km":{}.{:02},"ts":{}}}"#,
        latitude / 1_000_000,
        latitude % 1_000_000,
        longitude / 1_000_000,
        longitude % 1_000_000,
        speed / 10,
        speed % 10,
        48_211 + n / 90,
        n * 10 / 9 % 100,
        1_760_000_000 + n,
    )
}

/// About 600 bytes of a machine's readings: most stand still, and each of four moves by one step in
/// one message of three.
fn telemetry(world: &mut World, n: u64) -> String {
    let World { random, readings, .. } = world;
    for reading in readings.iter_mut() {
        match random.below(6) {
            0 => *reading = (*reading + 1).min(READING_MAX),
            1 => *reading = reading.saturating_sub(1),
            _ => {}
        }
    }
    let [temperature, pressure, humidity, vibration] = *readings;
    let (temperature, pressure) = (2_140 + temperature, 101_310 + pressure);
    let (humidity, vibration) = (456 + humidity, 12 + vibration);
    format!(
        r#"{{"device":{{"id":"press-0042","site":"plant-north","line":"assembly-3","firmware":"4.18.2-rc1","model":"HX-9000"}},"status":"running","mode":"automatic","readings":{{"temperature_c":{}.{:02},"pressure_hpa":{}.{:02},"humidity_pct":{}.{},"vibration_mm_s":0.{vibration:03},"voltage_v":230.4,"current_a":12.75,"power_factor":0.982,"spindle_rpm":11980,"coolant_level_pct":78,"oil_temperature_c":64.2}},"counters":{{"parts_good":{},"parts_scrap":17,"cycles":{}}},"alarms":[],"maintenance":{{"last":"2026-01-12T08:00:00Z","next":"2026-07-12T08:00:00Z","hours_left":1311}},"ts":"2026-02-03T{:02}:{:02}:{:02}Z"}}"#,
        temperature / 100,
        temperature % 100,
        pressure / 100,
        pressure % 100,
        humidity / 10,
        humidity % 10,
        88_412 + n / 12,
        90_117 + n / 12,
        n / 3_600 % 24,
        n / 60 % 60,
        n % 60,
    )
}

/// Numbers that are the same in each run (splitmix64).
#[derive(Clone, Copy, Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
