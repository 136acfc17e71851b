//! Images that are made without a build.

use docker_orch::{engine::FileUpload, project::Sensitive};

use crate::support::world::{Side, World};

pub(crate) async fn an_image_is_made_of_files(side: Side) {
    let world = World::new(side, "import", Vec::new()).await;
    let image = format!("{}-import:one", world.project.name);
    let file = FileUpload {
        path: "/program".to_owned(),
        content: Sensitive::new(b"x".to_vec()),
        mode: 0o755,
        uid: None,
        gid: None,
    };
    assert_eq!(world.engine.image(&image, None).await.unwrap(), None);
    world.engine.import(&image, &[file]).await.unwrap();
    let made = world.engine.image(&image, None).await.unwrap();
    world.engine.remove_image(&image).await.unwrap();
    assert!(made.is_some_and(|made| made.id.starts_with("sha256:")));
    assert_eq!(world.engine.image(&image, None).await.unwrap(), None);
}
