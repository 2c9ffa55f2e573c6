package org.pocketfleet.bundle;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.Events;

/**
 * The bundles of a client: one that a person gave it, or those that the server sends. The latter
 * are kept by their hash, and used only when a trusted key signed them:
 *
 * <pre>
 * &lt;sha256&gt;/    a bundle; the one in use and the one before it are kept
 * current      the hash of the one in use
 * </pre>
 *
 * <p>Both appear whole or not at all, so a client that is killed at any point finds either the old
 * bundle or the new one. Not for use by several threads at once.
 */
public final class BundleStore {
  private static final String CURRENT = "current";
  private static final String PART = ".part";
  private static final int KEPT_BESIDES = 1;

  private final File place;
  private final String trustedKey;
  private final boolean fixed;
  private final Disk disk;

  /**
   * Opens a store for bundles that the server sends.
   *
   * @param directory where they are kept; made if it is not there
   * @param trustedKey PEM of the public key that must have signed every one of them; null: none can
   *     be accepted
   * @throws BundleException the directory cannot be used
   */
  public BundleStore(File directory, String trustedKey) throws BundleException {
    this(directory, trustedKey, new Disk());
  }

  BundleStore(File directory, String trustedKey, Disk disk) throws BundleException {
    this.place = directory;
    this.trustedKey = trustedKey;
    this.fixed = false;
    this.disk = disk;
    try {
      disk.makeDirectory(directory);
      for (File leftover : entries()) {
        if (leftover.getName().endsWith(PART)) {
          disk.delete(leftover);
        }
      }
    } catch (IOException error) {
      throw new BundleException(
          directory + ": cannot keep bundles here: " + error.getMessage(), error);
    }
  }

  private BundleStore(File bundle, String trustedKey, boolean fixed) {
    this.place = bundle;
    this.trustedKey = trustedKey;
    this.fixed = fixed;
    this.disk = new Disk();
  }

  /**
   * Makes a store of the one bundle that a person chose.
   *
   * @param bundle a directory or a zip
   * @param trustedKey PEM of the public key that must have signed it; null: any or no signature
   */
  public static BundleStore fixed(File bundle, String trustedKey) {
    return new BundleStore(bundle, trustedKey, true);
  }

  /** Whether a bundle that the server sends can be taken. */
  public boolean accepts() {
    return !fixed && trustedKey != null;
  }

  /**
   * Opens the bundle in use, its signature checked. If one that the server sent was damaged on the
   * disk, it is forgotten, and the one before it is in use.
   *
   * @return the bundle; null: there is none yet
   * @throws BundleException the bundle that a person chose cannot be used
   */
  public Bundle current() throws BundleException {
    if (fixed) {
      return Bundle.load(place, trustedKey);
    }
    if (trustedKey == null) {
      return null;
    }
    for (File candidate : candidates()) {
      Bundle bundle = sound(candidate);
      if (bundle != null) {
        return bundle;
      }
      drop(candidate);
    }
    return null;
  }

  /**
   * Keeps a bundle that arrived; it is not in use yet.
   *
   * @param zip the bundle's zip, from position to limit
   * @param sha256 what the sender says that the bundle's hash is
   * @return the bundle as it is kept
   * @throws BundleException it is none, was altered, is another one, is not signed by the trusted
   *     key, or cannot be written; nothing is kept
   */
  public Bundle add(ByteBuffer zip, String sha256) throws BundleException {
    if (!accepts()) {
      throw new BundleException(
          fixed
              ? "this client was started with a bundle of its own and takes no other"
              : "this client has no trusted key, and so takes no bundle from the server");
    }
    Bundle arrived = Bundle.ofZip(zip, "the bundle that arrived", trustedKey);
    arrived.verify(trustedKey);
    if (!arrived.sha256().equals(sha256)) {
      throw new BundleAlteredException(
          String.format(
              Locale.ROOT,
              "the server announced bundle %.12s and sent %.12s",
              sha256,
              arrived.sha256()));
    }
    File kept = new File(place, sha256);
    Bundle same = kept.exists() ? sound(kept) : null;
    if (same != null) {
      return same;
    }
    File part = new File(place, sha256 + PART);
    Map<String, ByteBuffer> contents = arrived.contents();
    try {
      disk.delete(part);
      disk.delete(kept);
      disk.makeDirectory(part);
      for (Map.Entry<String, ByteBuffer> file : contents.entrySet()) {
        disk.write(new File(part, file.getKey()), file.getValue());
      }
      disk.rename(part, kept);
    } catch (IOException error) {
      drop(part);
      throw cannotWrite(contents, error);
    }
    return Bundle.load(kept, trustedKey);
  }

  /**
   * Makes a kept bundle the one in use, and deletes all but the one that was in use before.
   *
   * @throws BundleException this cannot be written; the old one stays in use
   */
  public void use(Bundle bundle) throws BundleException {
    String sha256 = bundle.sha256();
    List<File> before = candidates();
    File part = new File(place, CURRENT + PART);
    try {
      disk.delete(part);
      disk.write(part, ByteBuffer.wrap(sha256.getBytes(StandardCharsets.US_ASCII)));
      disk.rename(part, new File(place, CURRENT));
    } catch (IOException error) {
      drop(part);
      throw new BundleException(
          place + ": cannot be written: " + error.getMessage() + "; the old bundle stays in use",
          error);
    }
    int others = 0;
    for (File old : before) {
      if (!old.getName().equals(sha256) && ++others > KEPT_BESIDES) {
        drop(old);
      }
    }
  }

  /** Opens a kept bundle; null: it was damaged, or another key is trusted now. */
  private Bundle sound(File kept) {
    try {
      Bundle bundle = Bundle.load(kept, trustedKey);
      bundle.verify(trustedKey);
      if (bundle.sha256().equals(kept.getName())) {
        return bundle;
      }
      Events.warn("event=bundle-damaged reason=%s holds another bundle", kept);
    } catch (BundleException error) {
      Events.warn("event=bundle-damaged reason=%s", error.getMessage());
    }
    return null;
  }

  /** Bundles that are kept: the one in use, then the others, newest first. */
  private List<File> candidates() {
    String current = "";
    try {
      byte[] text = Files.readAllBytes(new File(place, CURRENT).toPath());
      current = new String(text, StandardCharsets.US_ASCII).trim();
    } catch (IOException none) {
      // A client that was killed before its first bundle was in use.
      return new ArrayList<>();
    }
    List<File> candidates = new ArrayList<>();
    for (File entry : entries()) {
      if (entry.isDirectory() && !entry.getName().endsWith(PART)) {
        candidates.add(entry);
      }
    }
    String first = current;
    Collections.sort(
        candidates,
        (one, other) -> {
          boolean oneIsFirst = one.getName().equals(first);
          boolean otherIsFirst = other.getName().equals(first);
          return oneIsFirst != otherIsFirst
              ? (oneIsFirst ? -1 : 1)
              : Long.compare(other.lastModified(), one.lastModified());
        });
    return candidates;
  }

  private List<File> entries() {
    List<File> entries = new ArrayList<>();
    File[] files = place.listFiles();
    if (files != null) {
      Collections.addAll(entries, files);
    }
    return entries;
  }

  private void drop(File file) {
    try {
      disk.delete(file);
    } catch (IOException error) {
      Events.warn("event=not-deleted file=%s reason=%s", file, error.getMessage());
    }
  }

  private BundleException cannotWrite(Map<String, ByteBuffer> contents, IOException error) {
    long needed = 0;
    for (ByteBuffer data : contents.values()) {
      needed += data.remaining();
    }
    return new BundleException(
        String.format(
            Locale.ROOT,
            "the new bundle cannot be kept: %s (it takes %d kB, %s has %d kB free); the old one"
                + " stays in use",
            error.getMessage(),
            needed / 1024,
            place,
            place.getUsableSpace() / 1024),
        error);
  }
}
