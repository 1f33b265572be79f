"""Body: skeleton tables, rotations, camera and the skinned model."""
