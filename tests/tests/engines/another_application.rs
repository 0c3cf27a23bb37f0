//! The platform serves others than the shop, on the engines.

use tests::contract::application::another_application_has_all_of_the_platform;
use tests::engines::{Names, engines};

// proves: CAT-3, OPS-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_runs_on_the_platform() {
    let (dir, names) = (tempfile::tempdir().unwrap(), Names::fresh(engines()));
    another_application_has_all_of_the_platform(dir.path(), &names.settings()).await;
    names.remove().await.unwrap();
}
