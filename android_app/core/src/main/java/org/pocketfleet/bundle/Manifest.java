package org.pocketfleet.bundle;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a bundle says about itself: {@code manifest.json} ({@code docs/bundle.md}). */
public final class Manifest {
  /** The format that this version reads. */
  public static final int FORMAT = 2;

  /** Most bytes of a manifest. */
  public static final int MAX_BYTES = 32 << 20;

  private final String name;
  private final String minimumRuntime;
  private final String trainable;
  private final InputSpec input;
  private final int batchSize;
  private final List<String> classes;
  private final List<String> cuts;
  private final Map<String, Variable> variables;
  private final Map<String, Signature> signatures;
  private final Map<String, FileEntry> files;

  Manifest(
      String name,
      String minimumRuntime,
      String trainable,
      InputSpec input,
      int batchSize,
      List<String> classes,
      List<String> cuts,
      Map<String, Variable> variables,
      Map<String, Signature> signatures,
      Map<String, FileEntry> files) {
    this.name = name;
    this.minimumRuntime = minimumRuntime;
    this.trainable = trainable;
    this.input = input;
    this.batchSize = batchSize;
    this.classes = Collections.unmodifiableList(classes);
    this.cuts = Collections.unmodifiableList(cuts);
    this.variables = Collections.unmodifiableMap(new LinkedHashMap<>(variables));
    this.signatures = Collections.unmodifiableMap(signatures);
    this.files = Collections.unmodifiableMap(files);
  }

  /**
   * Reads {@code manifest.json}: every key of its format has to be there with its type, and no
   * other.
   *
   * @throws NewerBundleException the format came after this version
   * @throws BundleFormatException this is no manifest; the message names the key
   */
  public static Manifest read(ByteBuffer json) throws BundleFormatException {
    return ManifestReader.read(json);
  }

  /** What the model is called. */
  public String name() {
    return name;
  }

  /** The oldest TensorFlow Lite that has the model's operations, as the converter notes it. */
  public String minimumRuntime() {
    return minimumRuntime;
  }

  /** {@code all}, {@code head}, or the layer from which on the model is trained. */
  public String trainable() {
    return trainable;
  }

  /** What the network takes. */
  public InputSpec input() {
    return input;
  }

  /** Samples of a step. */
  public int batchSize() {
    return batchSize;
  }

  /** Names of the classes, in the order of the labels. */
  public List<String> classes() {
    return classes;
  }

  /** Layers from which on training can be asked for. */
  public List<String> cuts() {
    return cuts;
  }

  /** Variables by path, in the order in which {@code get} and {@code set} number them. */
  public Map<String, Variable> variables() {
    return variables;
  }

  /** What the model can be asked to do, by name. */
  public Map<String, Signature> signatures() {
    return signatures;
  }

  /** The bundle's files, but for the manifest and its signature. */
  public Map<String, FileEntry> files() {
    return files;
  }
}
