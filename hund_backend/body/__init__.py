"""The body: skeleton tables, rotations, camera and the skinned model."""
