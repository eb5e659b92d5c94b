//! What every public gRPC listener offers besides its services: reflection and health.

use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_reflection::server::Builder;

/// Adds server reflection (v1 and v1alpha: some clients know only one) and `grpc.health.v1` for these
/// services.
pub fn add(routes: &mut RoutesBuilder, services: &'static [&'static str]) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let describe = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(crate::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(health)
        .add_service(describe().build_v1().expect("the committed descriptors are valid"))
        .add_service(describe().build_v1alpha().expect("the committed descriptors are valid"));
    tokio::spawn(async move {
        for service in services {
            reporter.set_service_status(*service, ServingStatus::Serving).await;
        }
    });
}
