"""What an NPU does with a `.tflite` file: compiled by Vela (`vela`), or by its maker's list of ops (`rules`)."""
