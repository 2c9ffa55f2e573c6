package org.pocketfleet.message;

/**
 * Names of the records and keys that travel between server and clients ({@code docs/protocol.md}).
 * The only Java file that spells them.
 */
public final class Records {
  /** Kinds of task. */
  public static final String QUERY = "query";

  public static final String TRAIN = "train";
  public static final String EVALUATE = "evaluate";

  /** Records of a message. */
  public static final String ARRAYS = "arrays";

  public static final String CONFIG = "config";
  public static final String METRICS = "metrics";
  public static final String DEVICE = "device";
  public static final String INFO = "info";

  /** Key of the one array of a packed record. */
  public static final String PACKED = "safetensors";

  /** Name of the array, in a query's arrays, that holds the zip of a bundle; key of its hash. */
  public static final String BUNDLE = "bundle";

  /** Among a client's facts: whether it takes a bundle from the server. */
  public static final String ACCEPTS_BUNDLE = "accepts-bundle";

  /** Keys of a plan. */
  public static final String SERVER_ROUND = "server-round";

  public static final String EPOCHS = "epochs";
  public static final String LEARNING_RATE = "learning-rate";
  public static final String CUTOFF_S = "cutoff-s";
  public static final String CUT = "cut";
  public static final String SEED = "seed";
  public static final String PROXIMAL_MU = "proximal-mu";
  public static final String REPLY_ARRAYS = "reply-arrays";

  /** Start from the client's own weights after that round, and what it is sent. */
  public static final String START_ROUND = "start-round";

  /** Keep the weights after this round, for a later {@link #START_ROUND}. */
  public static final String KEEP_WEIGHTS = "keep-weights";

  /** The variables to send back, a path a line; empty: as {@link #REPLY_ARRAYS} says. */
  public static final String REPLY_VARIABLES = "reply-variables";

  /** How the arrays of the message, and of the reply, hold numbers. */
  public static final String DOWNLOAD_CODEC = "download-codec";

  public static final String UPLOAD_CODEC = "upload-codec";

  /** The server's name of the run. */
  public static final String RUN = "run";

  /** Metrics of replies. */
  public static final String NUM_EXAMPLES = "num-examples";

  public static final String EXAMPLES_PROCESSED = "examples-processed";

  /** Steps done; in a plan, local steps, however many epochs they are (0: epochs decide). */
  public static final String STEPS = "steps";

  public static final String PLANNED_STEPS = "planned-steps";
  public static final String TRAIN_LOSS = "train-loss";
  public static final String TRAIN_S = "train-s";
  public static final String FEATURES_S = "features-s";
  public static final String PREPARE_S = "prepare-s";
  public static final String CPU_S = "cpu-s";
  public static final String PEAK_MEMORY_BYTES = "peak-memory-bytes";

  /**
   * Metrics of the energy of the task's own phase, its download, the wait before it and the last
   * upload: each of these with each of the endings below.
   */
  public static final String ENERGY = "energy";

  public static final String DOWNLOAD_ENERGY = "energy-download";
  public static final String WAIT_ENERGY = "energy-wait";
  public static final String PREVIOUS_UPLOAD_ENERGY = "previous-upload-energy";

  /** Endings of the names of energies. */
  public static final String GROSS_J = "-j";

  public static final String IDLE_J = "-idle-j";
  public static final String RATE_HZ = "-rate-hz";
  public static final String COVERAGE = "-coverage";
  public static final String UNCERTAINTY_J = "-uncertainty-j";

  /** As the task's work began and ended. */
  public static final String TEMPERATURE_START_C = "temperature-start-c";

  public static final String TEMPERATURE_END_C = "temperature-end-c";
  public static final String BATTERY_START_PERCENT = "battery-start-percent";
  public static final String BATTERY_END_PERCENT = "battery-end-percent";
  public static final String EVAL_LOSS = "eval-loss";
  public static final String EVAL_ACCURACY = "eval-accuracy";
  public static final String EVALUATE_S = "evaluate-s";

  /** Facts of a device, and words about the metrics. */
  public static final String NAME = "name";

  public static final String PROCESSOR = "processor";
  public static final String PROFILE = "profile";

  /** Whether it can do what {@link #KEEP_WEIGHTS} asks, and the families of codecs it knows. */
  public static final String KEEPS_WEIGHTS = "keeps-weights";

  public static final String CODECS = "codecs";
  public static final String CLASSES_HELD = "classes-held";
  public static final String MODEL = "model";
  public static final String RUNTIME = "runtime";
  public static final String THREADS = "threads";
  public static final String SYSTEM = "system";
  public static final String MACHINE = "machine";
  public static final String CORES = "cores";
  public static final String JAVA = "java";

  /** All memory of the device. */
  public static final String MEMORY_BYTES = "memory-bytes";

  /** Of a device with a battery: its charge, and whether power comes from outside. */
  public static final String BATTERY_PERCENT = "battery-percent";

  public static final String CHARGING = "charging";
  public static final String ENERGY_METHOD = "energy-method";
  public static final String ENERGY_SOURCE = "energy-source";
  public static final String ENERGY_COVERS = "energy-covers";

  /** A flag a line; the phase and a colon before it where it is not about the task's own. */
  public static final String ENERGY_FLAGS = "energy-flags";

  /** What was as warm as the temperatures say. */
  public static final String TEMPERATURE_SOURCE = "temperature-source";

  /** What governs the processor's clock, and the version of the client. */
  public static final String GOVERNOR = "governor";

  public static final String BUILD = "build";

  /** What the transport adds to the metrics of a reply. */
  public static final String DOWNLOAD_S = "download-s";

  public static final String DOWNLOAD_BYTES = "download-bytes";
  public static final String PREVIOUS_UPLOAD_S = "previous-upload-s";
  public static final String PREVIOUS_UPLOAD_BYTES = "previous-upload-bytes";
  public static final String PREVIOUS_UPLOAD_ROUND = "previous-upload-round";

  private Records() {}
}
