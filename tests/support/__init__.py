"""What tests share: servers, file trees, fakes."""
