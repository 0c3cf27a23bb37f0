//! The platform serves others than the shop; on the engines too (`engines/another_application.rs`).

use tests::contract::application::another_application_has_all_of_the_platform;

// proves: CAT-3, OPS-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_runs_on_the_platform() {
    let dir = tempfile::tempdir().expect("a directory");
    another_application_has_all_of_the_platform(dir.path(), &[]).await;
}
