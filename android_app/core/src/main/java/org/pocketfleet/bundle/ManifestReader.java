package org.pocketfleet.bundle;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

/** Reads {@code manifest.json}, key by key. */
final class ManifestReader {
  private static final String NAME = "manifest.json";
  private static final int SHA256_DIGITS = 64;

  private ManifestReader() {}

  static Manifest read(ByteBuffer json) throws BundleFormatException {
    if (json.remaining() > Manifest.MAX_BYTES) {
      throw new BundleFormatException(
          NAME + " has " + json.remaining() + " bytes, more than " + Manifest.MAX_BYTES);
    }
    Fields fields = Fields.parse(json, NAME);
    checkFormat(fields);
    String name = fields.take("name", Fields::text);
    fields.take("versions", Fields.byName(Fields::text));
    String minimumRuntime = fields.take("minimum_runtime", Fields::text);
    InputSpec input = fields.take("input", Fields.object(ManifestReader::input));
    List<String> classes = fields.take("classes", Fields.each(Fields::text));
    int batchSize = fields.take("batch_size", Fields::small);
    String trainable = fields.take("trainable", Fields::text);
    fields.take("base_format", Fields::text);
    fields.take("optimizer", Fields.byName(Fields::scalar));
    List<String> cuts = fields.take("cuts", Fields.each(Fields::text));
    List<String> state = fields.take("state", Fields.each(Fields::text));
    List<List<Variable>> layers =
        fields.take("layers", Fields.each(Fields.object(ManifestReader::layer)));
    Map<String, Signature> signatures =
        fields.take("signatures", Fields.byName(Fields.object(ManifestReader::signature)));
    fields.take("compression", Fields.byName(Fields::scalar));
    fields.take("costs", Fields.object(ManifestReader::costs));
    Map<String, FileEntry> files =
        fields.take("files", Fields.byName(Fields.object(ManifestReader::file)));
    if (fields.has("part_of")) {
      fields.take("part_of", Fields.object(ManifestReader::partOf));
    }
    fields.end();
    if (batchSize < 1 || classes.isEmpty()) {
      throw new BundleFormatException(NAME + ": a batch and the classes cannot be empty");
    }
    Map<String, Variable> variables = inOrder(state, layers);
    checkUpdates(signatures, variables);
    return new Manifest(
        name,
        minimumRuntime,
        trainable,
        input,
        batchSize,
        classes,
        cuts,
        variables,
        signatures,
        files);
  }

  private static void checkFormat(Fields fields) throws BundleFormatException {
    long format = fields.take("format", Fields::natural);
    if (format > Manifest.FORMAT) {
      throw new NewerBundleException(
          String.format(
              Locale.ROOT,
              "the bundle has format %d, which came after this version of pocketfleet (it reads"
                  + " format %d): update this app",
              format,
              Manifest.FORMAT));
    }
    if (format != Manifest.FORMAT) {
      throw new BundleFormatException(
          String.format(
              Locale.ROOT,
              "%s has format %d; this version of pocketfleet reads format %d",
              NAME,
              format,
              Manifest.FORMAT));
    }
  }

  private static InputSpec input(Fields fields) throws BundleFormatException {
    int[] shape = fields.take("shape", ManifestReader::shape);
    if (fields.take("dtype", ManifestReader::type) != DType.FLOAT32) {
      throw new BundleFormatException(NAME + ": input: dtype is not float32");
    }
    double scale = fields.take("scale", Fields::number);
    return new InputSpec(shape, scale, fields.take("offset", Fields::number));
  }

  private static List<Variable> layer(Fields fields) throws BundleFormatException {
    fields.take("name", Fields::text);
    fields.take("type", Fields::text);
    fields.take("trained", Fields::flag);
    fields.take("inputs", Fields.each(Fields::text));
    fields.take("output_shape", ManifestReader::shape);
    fields.take("output_dtype", Fields::text);
    fields.take("parameters", Fields::natural);
    fields.take("macs", Fields::natural);
    fields.take("activation_bytes", Fields::natural);
    return fields.take("variables", Fields.each(Fields.object(ManifestReader::variable)));
  }

  private static Variable variable(Fields fields) throws BundleFormatException {
    String path = fields.take("path", Fields::text);
    int[] shape = fields.take("shape", ManifestReader::shape);
    DType type = fields.take("dtype", ManifestReader::type);
    return new Variable(path, shape, type, fields.take("trained", Fields::flag));
  }

  private static Signature signature(Fields fields) throws BundleFormatException {
    Fields.Reader<Map<String, TensorSpec>> tensors =
        Fields.byName(Fields.object(ManifestReader::tensor));
    Map<String, TensorSpec> inputs = fields.take("inputs", tensors);
    Map<String, TensorSpec> outputs = fields.take("outputs", tensors);
    return new Signature(inputs, outputs, fields.take("updates", Fields.each(Fields::text)));
  }

  private static TensorSpec tensor(Fields fields) throws BundleFormatException {
    int[] shape = fields.take("shape", ManifestReader::shape);
    return new TensorSpec(shape, fields.take("dtype", ManifestReader::type));
  }

  /** What a step costs decides on the server how much of a network trains: it is only checked. */
  private static Object costs(Fields fields) throws BundleFormatException {
    fields.take("signatures", Fields.byName(Fields.object(ManifestReader::stepSize)));
    return fields.take(
        "measured",
        (value, where) ->
            value == null ? null : Fields.object(ManifestReader::measurement).read(value, where));
  }

  private static Object stepSize(Fields fields) throws BundleFormatException {
    fields.take("trained_parameters", Fields::natural);
    return fields.take("activation_bytes", Fields::natural);
  }

  private static Object measurement(Fields fields) throws BundleFormatException {
    fields.take("runtime", Fields::text);
    fields.take("threads", Fields::natural);
    fields.take("machine", Fields::text);
    fields.take("loaded_bytes", Fields::natural);
    return fields.take(
        "signatures", Fields.byName(Fields.object(ManifestReader::measuredSignature)));
  }

  private static Object measuredSignature(Fields fields) throws BundleFormatException {
    fields.take("memory_bytes", Fields::natural);
    return fields.take("step_ms", Fields::number);
  }

  /** Where the variables lie in a larger network; the server acts on it, so it is only checked. */
  private static Object partOf(Fields fields) throws BundleFormatException {
    fields.take("bundle", Fields::text);
    return fields.take("parts", Fields.byName(Fields.each(ManifestReader::runsOfAxis)));
  }

  private static Object runsOfAxis(Object value, String where) throws BundleFormatException {
    return value == null ? null : Fields.each(Fields.each(Fields::natural)).read(value, where);
  }

  private static FileEntry file(Fields fields) throws BundleFormatException {
    String sha256 = fields.take("sha256", Fields::text);
    if (sha256.length() != SHA256_DIGITS) {
      throw new BundleFormatException(NAME + ": '" + sha256 + "' is not a SHA-256");
    }
    return new FileEntry(sha256, fields.take("bytes", Fields::small));
  }

  private static int[] shape(Object value, String where) throws BundleFormatException {
    List<Integer> extents = Fields.<Integer>each(Fields::small).read(value, where);
    int[] shape = new int[extents.size()];
    for (int at = 0; at < shape.length; at++) {
      shape[at] = extents.get(at);
    }
    try {
      if (Tensor.elements(shape) <= Integer.MAX_VALUE / Double.BYTES) {
        return shape;
      }
    } catch (ArithmeticException tooLarge) {
      // Said below.
    }
    throw new BundleFormatException(where + " is too large");
  }

  private static DType type(Object value, String where) throws BundleFormatException {
    String name = Fields.text(value, where);
    try {
      return DType.ofNumpy(name);
    } catch (IllegalArgumentException unknown) {
      throw new BundleFormatException(where + ": " + unknown.getMessage());
    }
  }

  private static Map<String, Variable> inOrder(List<String> state, List<List<Variable>> layers)
      throws BundleFormatException {
    Map<String, Variable> known = new LinkedHashMap<>();
    for (List<Variable> layer : layers) {
      for (Variable variable : layer) {
        known.put(variable.path(), variable);
      }
    }
    Map<String, Variable> variables = new LinkedHashMap<>();
    for (String path : state) {
      Variable variable = known.get(path);
      if (variable == null) {
        throw new BundleFormatException(NAME + ": state names '" + path + "', which no layer has");
      }
      if (variables.put(path, variable) != null) {
        throw new BundleFormatException(NAME + ": state names '" + path + "' twice");
      }
    }
    return variables;
  }

  private static void checkUpdates(
      Map<String, Signature> signatures, Map<String, Variable> variables)
      throws BundleFormatException {
    for (Map.Entry<String, Signature> signature : signatures.entrySet()) {
      List<String> unknown = new ArrayList<>(signature.getValue().updates());
      unknown.removeAll(variables.keySet());
      if (!unknown.isEmpty()) {
        throw new BundleFormatException(
            NAME + ": " + signature.getKey() + " updates '" + unknown.get(0) + "', no state");
      }
    }
  }
}
