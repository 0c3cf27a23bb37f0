//! `kill -9` under load, round after round: nothing acknowledged is lost, nothing is doubled, and the books balance.

use tests::history::History;
use tests::server::tillstream;
use tests::shop::Shop;
use tests::workload::Workload;

const CALLERS: usize = 16;

fn rounds() -> usize {
    if std::env::var_os("TILLSTREAM_TESTS").is_some_and(|mode| mode == "fast") { 3 } else { 20 }
}

// proves: OPS-2, ORD-1, SAG-1, INV-2, PAY-3, P3, P5, P6, P8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_doubled_by_kill_9_under_load() {
    let round = History::begin("kill -9 under load", 0);
    let mut shop = Shop::open().await;
    let workload = Workload::new(&shop, "CRASH-1", &round).await;
    let load = workload.start(CALLERS);
    for n in 0..rounds() {
        // From "hardly begun" to "sagas in full swing".
        workload.more(5 + n * 11 % 90).await;
        round.tell("kill -9");
        shop.server.kill().unwrap();
        shop.restart();
    }
    load.stop().await;
    assert!(workload.acknowledged() >= rounds() * 5);
    workload.check().await;

    assert!(shop.server.terminate().unwrap().success());
    let verified = tillstream(&["verify", "--data-dir", shop.server.dir.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
}
