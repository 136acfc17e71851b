//! What needs a real engine: the one that `DOCKER_HOST` names, else the default one. Without one, leave these tests
//! out: `cargo nextest run -E 'not test(/^docker::/)'`, `cargo test -- --skip docker::`.

macro_rules! on_a_real_engine {
    ($($name:ident),* $(,)?) => {
        mod contract {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::contract::$name(crate::support::world::Side::Docker).await;
                }
            )*
        }
    };
}
every_contract!(on_a_real_engine);
