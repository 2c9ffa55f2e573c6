package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.bundle.Signature;
import org.pocketfleet.bundle.TensorSpec;
import org.pocketfleet.tensor.Tensor;
import org.tensorflow.lite.Interpreter;

/**
 * Calls one signature of a model with the same buffers every time: a call allocates nothing but
 * what TensorFlow Lite itself does.
 */
final class SignatureCall {
  private final Interpreter interpreter;
  private final String name;
  private final Map<String, Object> inputs;
  private final Map<String, Object> outputs = new LinkedHashMap<>();
  private final ByteBuffer[] rewound;

  /**
   * Prepares calls.
   *
   * @param buffers direct buffers, in the machine's byte order, to use for inputs and outputs of
   *     these names; those of other names are made
   */
  SignatureCall(
      Interpreter interpreter, String name, Signature spec, Map<String, ByteBuffer> buffers) {
    this.interpreter = interpreter;
    this.name = name;
    Map<String, Object> given = new LinkedHashMap<>();
    for (Map.Entry<String, TensorSpec> input : spec.inputs().entrySet()) {
      given.put(input.getKey(), buffer(input, buffers));
    }
    for (Map.Entry<String, TensorSpec> output : spec.outputs().entrySet()) {
      outputs.put(output.getKey(), buffer(output, buffers));
    }
    this.inputs = given.isEmpty() ? new NoInputs() : given;
    this.rewound = outputs.values().toArray(new ByteBuffer[0]);
  }

  /** Makes a direct buffer of zeros in the machine's byte order. */
  static ByteBuffer allocate(TensorSpec spec) {
    int bytes = Math.toIntExact(Tensor.elements(spec.shape()) * spec.type().bytes());
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  /** The signature's name. */
  String name() {
    return name;
  }

  /** The buffer of an input; null: the signature has no such input. */
  ByteBuffer input(String input) {
    return (ByteBuffer) inputs.get(input);
  }

  /** The buffer of an output. */
  ByteBuffer output(String output) {
    return (ByteBuffer) outputs.get(output);
  }

  /**
   * Runs the signature on what the inputs' buffers hold; the outputs' buffers then hold the result,
   * from their beginning.
   *
   * @throws TrainingException TensorFlow Lite failed
   */
  void run() throws TrainingException {
    for (ByteBuffer output : rewound) {
      output.clear();
    }
    run(interpreter, name, inputs, outputs);
  }

  /**
   * Runs a signature on buffers of any kind.
   *
   * @throws TrainingException TensorFlow Lite failed
   */
  static void run(
      Interpreter interpreter, String name, Map<String, Object> inputs, Map<String, Object> outputs)
      throws TrainingException {
    try {
      interpreter.runSignature(inputs, outputs, name);
    } catch (IllegalArgumentException | IllegalStateException error) {
      throw new TrainingException(
          String.format(
              Locale.ROOT, "TensorFlow Lite failed in '%s': %s", name, error.getMessage()),
          error);
    }
  }

  private static ByteBuffer buffer(
      Map.Entry<String, TensorSpec> tensor, Map<String, ByteBuffer> buffers) {
    ByteBuffer given = buffers.get(tensor.getKey());
    return given != null ? given : allocate(tensor.getValue());
  }
}
