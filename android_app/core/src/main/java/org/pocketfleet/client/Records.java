package org.pocketfleet.client;

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

  /** Keys of a plan. */
  public static final String SERVER_ROUND = "server-round";

  /** What the transport adds to the metrics of a reply. */
  public static final String DOWNLOAD_S = "download-s";

  public static final String DOWNLOAD_BYTES = "download-bytes";
  public static final String PREVIOUS_UPLOAD_S = "previous-upload-s";
  public static final String PREVIOUS_UPLOAD_BYTES = "previous-upload-bytes";
  public static final String PREVIOUS_UPLOAD_ROUND = "previous-upload-round";

  private Records() {}
}
