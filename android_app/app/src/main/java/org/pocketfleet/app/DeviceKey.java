package org.pocketfleet.app;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.state.StateException;
import org.pocketfleet.transport.FileNodeKey;
import org.pocketfleet.transport.NodeKey;

/** The key that names this phone to servers, and where it is kept. */
final class DeviceKey {
  private final NodeKey key;
  private final String place;

  private DeviceKey(NodeKey key, String place) {
    this.key = key;
    this.place = place;
  }

  /**
   * Opens the key, or makes it: in Android's keystore if that can be used, else in a file. A phone
   * that once had to take a file keeps it, as the server knows it by that key.
   *
   * @throws PocketfleetException neither works
   */
  static DeviceKey open(Context context) throws PocketfleetException {
    File file = new File(Places.state(context), "key.pem");
    File reason = new File(Places.state(context), "key.reason");
    if (file.exists()) {
      return new DeviceKey(FileNodeKey.loadOrCreate(file), place(reason));
    }
    // Says that there is a key in the keystore: a keystore that fails for once must not cost the
    // phone its name.
    File marker = new File(Places.state(context), "key.in-keystore");
    try {
      KeystoreNodeKey key = KeystoreNodeKey.loadOrCreate();
      boolean unused = marker.createNewFile();
      return new DeviceKey(key, key.place());
    } catch (IOException error) {
      throw new StateException(marker + ": cannot be written: " + error.getMessage(), error);
    } catch (GeneralSecurityException error) {
      String why =
          error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
      if (marker.exists()) {
        throw new StateException(
            "this phone's key in Android's keystore cannot be used ("
                + why
                + "); restart the phone, or clear the app's storage to get a new key",
            error);
      }
      NodeKey key = FileNodeKey.loadOrCreate(file);
      try {
        Files.write(reason.toPath(), why.getBytes(StandardCharsets.UTF_8));
      } catch (IOException unimportant) {
        Events.warn("event=no-keystore reason=%s", why);
      }
      return new DeviceKey(key, place(reason));
    }
  }

  private static String place(File reason) {
    try {
      String why = new String(Files.readAllBytes(reason.toPath()), StandardCharsets.UTF_8);
      return "In a file of this app, as Android's keystore could not be used (" + why + ").";
    } catch (IOException unknown) {
      return "In a file of this app.";
    }
  }

  /** The key. */
  NodeKey key() {
    return key;
  }

  /** Where it is, in words. */
  String place() {
    return place;
  }
}
