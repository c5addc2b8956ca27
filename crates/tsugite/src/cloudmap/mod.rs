//! Cloud Map operations over the registry, one file per group of operations.

use tsugite_aws::{AwsError, Context};
use tsugite_base::World;
use tsugite_engine::RegistryStore;

/// Answers one request to Cloud Map with the JSON body of its output.
pub async fn handle<S: RegistryStore>(
    _store: &S,
    _world: &World,
    action: &str,
    _body: &[u8],
    _context: &Context,
) -> Result<Vec<u8>, AwsError> {
    Err(AwsError::unsupported("Cloud Map", action))
}
