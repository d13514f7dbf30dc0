"""What every data-plane image shares; `contracts` is what the operator may know of it."""
