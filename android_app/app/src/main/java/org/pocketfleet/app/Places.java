package org.pocketfleet.app;

import android.content.Context;
import java.io.File;

/** Where the app keeps what. */
final class Places {
  private Places() {}

  /**
   * The client's state: unfinished work, and the key where there is no keystore. Never backed up.
   */
  static File state(Context context) {
    return made(new File(context.getNoBackupFilesDir(), "state"));
  }

  /** Models received from the server. */
  static File bundles(Context context) {
    return made(new File(context.getNoBackupFilesDir(), "bundles"));
  }

  /** The model's weights between two rounds of a run. */
  static File weights(Context context) {
    return made(new File(context.getNoBackupFilesDir(), "weights"));
  }

  /** Training data. */
  static File data(Context context) {
    return made(new File(context.getFilesDir(), "data"));
  }

  /**
   * What {@code adb pull} can fetch and {@code adb push} can bring: {@code Android/data/…/files}.
   */
  static File exchange(Context context) {
    File external = context.getExternalFilesDir(null);
    // Without external storage the results are kept where only the app itself can share them.
    return made(external == null ? new File(context.getFilesDir(), "exchange") : external);
  }

  /** What the client writes for people: rounds, decisions, events, a summary. */
  static File results(Context context, String name) {
    return made(new File(exchange(context), name.isEmpty() ? "results" : "results-" + name));
  }

  private static File made(File directory) {
    // Whoever writes there says what is wrong if it could not be made.
    boolean unused = directory.mkdirs();
    return directory;
  }
}
